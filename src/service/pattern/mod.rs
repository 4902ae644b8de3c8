//! Regular expressions of columns and schemas: ECMA-262's, as JSON Schema and OpenAPI have them, matched in linear time.
//!
//! A pattern is read with the rules of ECMA-262 (section 22.2.1, always with Unicode) and written for the crate `regex`. Look-around and
//! references to groups have no linear match and are refused. Where browsers are lenient (annex B), lone braces and needless
//! escapes of punctuation are taken, too.

mod ecma;

use std::fmt::{Display, Formatter};

use regex::{Regex, RegexBuilder};

/// The memory that a compiled pattern may take, in bytes.
const MAX_SIZE: usize = 10 << 20;
/// How deep groups may nest.
const MAX_DEPTH: u32 = 200;

/// A regular expression that texts can be searched for.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// A text that is no pattern, or none that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It breaks the rules.
    #[error("{what} at character {position}")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// The place, from 1.
        position: usize,
    },
    /// It asks for what cannot be matched in linear time, or for what texts never have.
    #[error("{0} cannot be used here")]
    Unsupported(&'static str),
    /// It repeats too much.
    #[error("it takes more than {} MB of memory", MAX_SIZE >> 20)]
    TooLarge,
    /// It has a property of Unicode that is not known, or groups too deep.
    #[error("{0}")]
    Refused(String),
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let translation = ecma::translate(text)?;
        if let Some(what) = translation.unsupported {
            return Err(PatternError::Unsupported(what));
        }
        let regex = RegexBuilder::new(&translation.text).size_limit(MAX_SIZE).nest_limit(MAX_DEPTH).build();
        let regex = regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            // The last line says what is wrong; those before it draw where, in a text that nobody wrote.
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                PatternError::Refused(reason.to_owned())
            }
        })?;
        Ok(Self { text: text.into(), regex })
    }

    /// Returns whether a text has a match anywhere.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns whether a text is a regular expression of ECMA-262, be it one that can be used here or not.
    pub fn is_pattern(text: &str) -> bool {
        ecma::translate(text).is_ok()
    }
}

/// The pattern as it was written.
impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
    }

    #[test]
    fn patterns_match_as_in_ecma_262() {
        for (pattern, matching, other) in [
            ("^abc$", "abc", "abc\n"),
            (r"^\d+$", "42", "৪২"),
            (r"^\w+$", "a_9", "é"),
            (r"^\W$", "é", "e"),
            (r"^\s$", "\u{feff}", "\u{180e}"),
            (r"^\S$", "x", "\u{2028}"),
            (r"^[\s\d]$", "\u{a0}", "x"),
            (r"^[^\s\d]$", "x", "7"),
            (r"^[\D]$", "x", "7"),
            (r"^\cC$", "\u{3}", "\\cC"),
            (r"^\x41\u0042\u{43}\uD83D\uDC32$", "ABC🐲", "ABC"),
            (r"^\0[\b]$", "\0\u{8}", "0b"),
            (r"^\p{L}+$", "žė", "1"),
            (r"^\p{Letter}\P{Lu}$", "Aa", "AA"),
            (r"^\p{Script=Greek}+$", "αβγ", "abc"),
            (r"^.$", "🐲", "\n"),
            (r"^a.c$", "a\u{85}c", "a\u{2029}c"),
            (r"\bx\b", "a x b", "axb"),
            (r"\Bx\B", "axb", "a x b"),
            (r"\bx", "éx", "ex"),
            ("^(?<year>[0-9]{4})-(?:0[1-9]|1[0-2])$", "2026-11", "2026-13"),
            ("^a{2,3}?b{1,}c{1}$", "aabc", "abc"),
            ("^[a-z&&~~|-]+$", "a&~-|", "A"),
            ("^[[#^]+$", "[#^", "]"),
            (r"^[\-\]\w.]+$", "-]a.", "!"),
            ("^[^]$", "\n", ""),
            ("^{a}]$", "{a}]", "a"),
            (r"^\/\-\_\@\<\>$", "/-_@<>", "x"),
            ("^x# y$", "x# y", "x"),
            ("^(?i:straße)$", "STRAßE", "x"),
            ("", "anything", "\u{0}never"),
        ] {
            assert!(is_match(pattern, matching), "{pattern}");
            assert!(pattern.is_empty() || !is_match(pattern, other), "{pattern}");
        }
        assert!(!is_match("[]", "a") && !is_match("[]", ""));
    }

    #[test]
    fn what_breaks_the_rules_is_refused_with_its_place() {
        for (pattern, expected) in [
            ("(", "`(` has no end at character 1"),
            ("a)", "`)` has no beginning at character 2"),
            ("[A-Z", "`[` has no end at character 1"),
            ("a**", "nothing to repeat at character 3"),
            ("|?", "nothing to repeat at character 2"),
            ("^*", "nothing to repeat at character 2"),
            ("{2}", "nothing to repeat at character 1"),
            ("a{3,2}", "the bounds of a repetition are in the wrong order at character 2"),
            ("[z-a]", "the ends of a range are in the wrong order at character 2"),
            (r"\a", "no such escape at character 1"),
            (r"^\S+\Z", "no such escape at character 5"),
            (r"[\B]", "no such escape at character 2"),
            ("x\\", "no such escape at character 2"),
            (r"\u12", "no such escape at character 1"),
            (r"\p{}", "no such escape at character 1"),
            ("(?P<a>x)", "no such kind of group at character 1"),
            ("(?i)x", "no such kind of group at character 1"),
            (r"\2(a)", "a reference to a group that is not there at character 1"),
            (r"\k<b>(?<a>x)", "a reference to a group that is not there at character 1"),
            ("(?<a>x)(?<a>y)", "a name that two groups have at character 8"),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap_err().to_string(), expected, "{pattern}");
            assert!(!Pattern::is_pattern(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_has_no_linear_match_is_a_pattern_that_cannot_be_used() {
        for (pattern, expected) in [
            (r"(a)\1", "a reference to a group cannot be used here"),
            (r"(?<a>x)\k<a>", "a reference to a group cannot be used here"),
            ("(?=a)", "look-around cannot be used here"),
            ("a(?!b)", "look-around cannot be used here"),
            ("(?<=a)b", "look-around cannot be used here"),
            ("(?<!a)b", "look-around cannot be used here"),
            ("(?s:.)", "a flag other than `i` cannot be used here"),
            (r"\uD83D", "half a character cannot be used here"),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap_err().to_string(), expected, "{pattern}");
            assert!(Pattern::is_pattern(pattern), "{pattern}");
        }
        assert_eq!(Pattern::new("a{1000}{1000}{1000}").unwrap_err().to_string(), "nothing to repeat at character 8");
        assert_eq!(Pattern::new("((a{1000}){1000}){1000}").unwrap_err(), PatternError::TooLarge);
        assert!(matches!(Pattern::new(r"\p{Nonsense}"), Err(PatternError::Refused(_))));
        let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(matches!(Pattern::new(&deep), Err(PatternError::Refused(_))));
    }
}
