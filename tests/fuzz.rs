//! A short, repeatable run of every fuzz target: each start of each seed, and some thousand mutations of it.
//!
//! `sh fuzz/run.sh` runs the same targets for as long as one likes.

#![expect(clippy::print_stdout, reason = "shown where a target fails")]

#[path = "../fuzz/targets.rs"]
mod targets;

use targets::{TARGETS, Target};

/// Mutations of each seed, where `MLPACK_FUZZ_ROUNDS` says no other number.
const ROUNDS: u64 = 4_000;
/// Words that parsers look for.
const WORDS: [&[u8]; 16] = [
    b"\n",
    b"\n\n",
    b"\n ",
    b":",
    b"-",
    b"~",
    b"\0",
    b"../",
    b"/",
    b"99999999999",
    b"\xff\xff\xff\xff",
    b"\x80",
    b"|",
    b"(",
    b"- ",
    b"\t",
];

/// Numbers that look random and are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; 0 where that is 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Changes one place: a byte, a bit, a piece that goes or comes twice, or a word that parsers look for.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let place = numbers.below(bytes.len());
    let end = (place + 1 + numbers.below(32)).min(bytes.len());
    match numbers.below(6) {
        0 if place < bytes.len() => bytes[place] = numbers.next() as u8,
        1 if place < bytes.len() => bytes[place] ^= 1 << numbers.below(8),
        2 if place < end => drop(bytes.drain(place..end)),
        3 if place < end => {
            let piece = bytes[place..end].to_vec();
            drop(bytes.splice(place..place, piece));
        }
        4 if place < end => {
            let word = WORDS[numbers.below(WORDS.len())];
            let end = (place + word.len()).min(bytes.len());
            drop(bytes.splice(place..end, word.iter().copied()));
        }
        _ => {
            let word = WORDS[numbers.below(WORDS.len())];
            drop(bytes.splice(place..place, word.iter().copied()));
        }
    }
}

fn attack(target: &Target, rounds: u64) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for seed in (target.seeds)() {
        for end in 0..=seed.len() {
            (target.run)(&seed[..end]);
        }
        for _ in 0..rounds {
            let mut bytes = seed.clone();
            for _ in 0..=numbers.below(5) {
                mutate(&mut bytes, &mut numbers);
            }
            (target.run)(&bytes);
        }
    }
}

#[test]
fn parsers_stand_what_is_thrown_at_them() {
    let rounds = std::env::var("MLPACK_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for target in TARGETS {
        println!("{}: {rounds} mutations of each seed", target.name);
        attack(target, rounds);
    }
}
