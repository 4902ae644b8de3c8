//! Results of one endpoint, remembered by the input that led to them: bounded by bytes, what was not asked for the longest
//! goes first.
//!
//! A request is remembered as a whole, not by row: where inputs come back they come back as they were, one row at a time, and
//! nothing has to be taken apart and put together again. Tables and tensors are compared by their checked values, so that it
//! does not matter in which protocol, order of columns or notation they came; JSON, texts and files by their bytes, so that
//! another space in JSON makes another input. Each version of the model has caches of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use sha2::{Digest, Sha256};

use super::data::Payload;

/// What an entry takes besides its result: the key, the links and the allocations, roughly.
const ENTRY: usize = 256;

/// The SHA-256 of an input; it cannot be made to meet another input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// Returns an input's key among the inputs of its endpoint.
    pub fn new(input: &Payload) -> Self {
        let mut hash = Sha256::new();
        match input {
            // How long texts are stands among the values, so that nothing can be taken for something else.
            Payload::Table(table) => {
                hash.update(table.rows.to_le_bytes());
                for column in &table.columns {
                    hash.update(column.valid.as_deref().unwrap_or_default());
                    hash.update(&column.values);
                    hash.update(&column.text);
                }
            }
            Payload::Tensor(tensor) => {
                for length in &tensor.shape {
                    hash.update(length.to_le_bytes());
                }
                hash.update(&tensor.data);
            }
            Payload::Bytes(bytes) => hash.update(bytes),
        }
        Self(hash.finalize().into())
    }
}

/// The results of one endpoint.
#[derive(Debug)]
pub struct Cache {
    results: Mutex<Results>,
    capacity: usize,
}

#[derive(Debug)]
struct Results {
    by_input: LruCache<Key, Payload>,
    bytes: usize,
}

impl Cache {
    /// Returns an empty cache that takes up to this many bytes.
    pub fn new(capacity: usize) -> Self {
        Self { results: Mutex::new(Results { by_input: LruCache::unbounded(), bytes: 0 }), capacity }
    }

    /// Returns the result of an input.
    pub fn get(&self, key: &Key) -> Option<Payload> {
        self.lock().by_input.get(key).cloned()
    }

    /// Remembers the result of an input, unless it is too large by itself.
    pub fn insert(&self, key: Key, result: Payload) {
        let size = size(&result);
        if size > self.capacity {
            return;
        }
        let mut results = self.lock();
        results.bytes += size;
        if let Some(before) = results.by_input.put(key, result) {
            results.bytes -= self::size(&before);
        }
        while results.bytes > self.capacity {
            let Some((_, oldest)) = results.by_input.pop_lru() else { break };
            results.bytes -= self::size(&oldest);
        }
    }

    /// Returns how many bytes are taken.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(result: &Payload) -> usize {
    let columns = match result {
        Payload::Table(table) => table.columns.len() * ENTRY,
        Payload::Tensor(_) | Payload::Bytes(_) => 0,
    };
    ENTRY + columns + result.size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::data::{Column, Table, Tensor};
    use crate::service::{ColumnType, Dtype};

    fn bytes(length: usize) -> Payload {
        Payload::Bytes(vec![0; length].into())
    }

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    #[test]
    fn what_was_not_asked_for_the_longest_makes_room() {
        let cache = Cache::new(3 * (ENTRY + 100));
        (1..=3).for_each(|number| cache.insert(key(number), bytes(100)));
        assert!(cache.get(&key(1)).is_some());
        cache.insert(key(4), bytes(100));
        assert!(cache.get(&key(2)).is_none());
        assert!([1, 3, 4].iter().all(|&number| cache.get(&key(number)).is_some()));
        cache.insert(key(1), bytes(50));
        assert_eq!(cache.bytes(), 3 * ENTRY + 250, "what is replaced no longer counts");
        cache.insert(key(5), bytes(4 * ENTRY));
        assert_eq!(cache.bytes(), 3 * ENTRY + 250, "what is too large is not remembered");
        cache.insert(key(6), bytes(2 * ENTRY));
        assert!(cache.bytes() <= 3 * (ENTRY + 100));
    }

    #[test]
    fn inputs_that_differ_in_anything_have_keys_of_their_own() {
        let tensor =
            |shape: &[usize]| Payload::Tensor(Tensor { dtype: Dtype::Uint8, shape: shape.to_vec(), data: vec![0; 6] });
        let texts = |texts: &[Option<&str>]| {
            let mut column = Column::new(ColumnType::String, true);
            for text in texts {
                match text {
                    Some(text) => column.push_text(text),
                    None => column.push_null(),
                }
            }
            Payload::Table(Table { rows: texts.len(), columns: vec![column] })
        };
        let inputs = [
            tensor(&[1, 6]),
            tensor(&[6, 1]),
            tensor(&[2, 3]),
            texts(&[Some("ab"), Some("c")]),
            texts(&[Some("a"), Some("bc")]),
            texts(&[Some("abc")]),
            texts(&[Some(""), Some("abc")]),
            texts(&[None, Some("abc")]),
        ];
        let keys: std::collections::HashSet<Key> = inputs.iter().map(Key::new).collect();
        assert_eq!(keys.len(), inputs.len());
        assert_eq!(Key::new(&texts(&[Some("a"), None])), Key::new(&texts(&[Some("a"), None])));
    }
}
