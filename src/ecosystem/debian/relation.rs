//! Reads relationship fields such as `Depends` (Debian policy section 7.1).
//!
//! Restrictions to architectures occur in source packages and in what users ask for, see [`unrestricted`]; in the fields of
//! a binary package they are refused, and so are build profiles.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// One alternative: a package name, maybe with an architecture and a version constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Relation<'a> {
    /// The name of a package, real or virtual.
    pub name: &'a str,
    /// What follows the colon in `python3:any`.
    pub qualifier: Option<&'a str>,
    /// The versions that will do.
    pub constraint: Option<Constraint<'a>>,
}

/// A comparison with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constraint<'a> {
    /// How to compare.
    pub operator: Operator,
    /// What to compare with.
    pub version: &'a str,
}

/// The comparisons that Debian has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// The text is not a relationship.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a relationship between packages: expected a form such as `name (>= version)`")]
pub struct ParseRelationError(String);

/// Alternatives, of which one is enough, in order of preference.
pub type Alternatives<'a> = Vec<Relation<'a>>;

/// Reads a whole field: groups separated by commas, alternatives within a group by bars.
pub fn parse(field: &str) -> Result<Vec<Alternatives<'_>>, ParseRelationError> {
    field.split(',').filter(|group| !group.trim().is_empty()).map(parse_alternatives).collect()
}

/// Reads one group of alternatives, separated by bars.
pub fn parse_alternatives(group: &str) -> Result<Alternatives<'_>, ParseRelationError> {
    group.split('|').map(|text| Relation::parse(text.trim())).collect()
}

/// Returns a relation without its restriction to architectures, such as `[amd64 arm64]` or `[!i386]` at its end; `None`
/// where it is not for `architecture` (policy section 7.1).
pub fn unrestricted<'a>(text: &'a str, architecture: &str) -> Option<&'a str> {
    let Some((relation, list)) = text.trim_end().strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return Some(text);
    };
    let is_met = |word: &str| word == "any" || word == "linux-any" || word == architecture;
    let mut words = list.split_ascii_whitespace().peekable();
    let applies = match words.peek() {
        Some(first) if first.starts_with('!') => words.all(|word| !is_met(word.trim_start_matches('!'))),
        _ => words.any(is_met),
    };
    applies.then(|| relation.trim_end())
}

impl<'a> Relation<'a> {
    /// Reads one alternative.
    pub fn parse(text: &'a str) -> Result<Self, ParseRelationError> {
        Self::try_parse(text).ok_or_else(|| ParseRelationError(text.to_owned()))
    }

    fn try_parse(text: &'a str) -> Option<Self> {
        let (package, constraint) = match text.split_once('(') {
            Some((package, rest)) => (package.trim_end(), Some(Constraint::try_parse(rest.strip_suffix(')')?.trim())?)),
            None => (text, None),
        };
        let (name, qualifier) = match package.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (package, None),
        };
        let valid = is_package_name(name) && qualifier.is_none_or(|text| is_word(text, b"-"));
        valid.then_some(Self { name, qualifier, constraint })
    }

    /// Whether a provided version will do; a virtual package without one meets no constraint.
    pub fn accepts_provided(&self, version: Option<&str>) -> bool {
        match (&self.constraint, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(constraint), Some(version)) => constraint.accepts(version),
        }
    }

    /// Whether a package's own version will do.
    pub fn accepts(&self, version: &str) -> bool {
        self.accepts_provided(Some(version))
    }
}

impl<'a> Constraint<'a> {
    fn try_parse(text: &'a str) -> Option<Self> {
        let length = text.bytes().take_while(|byte| matches!(byte, b'<' | b'>' | b'=')).count();
        let (operator, version) = text.split_at(length);
        let operator = match operator {
            "<<" => Operator::Earlier,
            // A single angle is the old spelling, and includes equality.
            "<=" | "<" => Operator::EarlierOrEqual,
            "=" => Operator::Equal,
            ">=" | ">" => Operator::LaterOrEqual,
            ">>" => Operator::Later,
            _ => return None,
        };
        let version = version.trim_start();
        is_version(version).then_some(Self { operator, version })
    }

    /// Whether a version meets the constraint.
    pub fn accepts(&self, version: &str) -> bool {
        let order = version::compare(version, self.version);
        match self.operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

/// Whether the text may name a package (policy section 5.6.7); such a name is a safe file name.
pub fn is_package_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && is_word(text, b"+-.")
}

/// Whether the text has the characters of a version and no others (policy section 5.6.12).
pub fn is_version(text: &str) -> bool {
    is_word(text, b".+-:~")
}

fn is_word(text: &str, marks: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match &self.constraint {
            Some(constraint) => write!(f, " ({} {})", constraint.operator, constraint.version),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

/// Returns alternatives as a field shows them.
pub fn show(alternatives: &[Relation<'_>]) -> String {
    alternatives.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_groups_of_alternatives() {
        let groups = parse("libc6 (>=2.36), python3:any (<< 3.12~) |python3.11 , a(=1:2-3),\n b (> 1)").unwrap();
        let shown: Vec<_> = groups.iter().map(|group| show(group)).collect();
        assert_eq!(shown, ["libc6 (>= 2.36)", "python3:any (<< 3.12~) | python3.11", "a (= 1:2-3)", "b (>= 1)"]);
        assert_eq!(parse("").unwrap(), Vec::<Alternatives<'_>>::new());
    }

    #[test]
    fn what_is_no_relation_is_refused() {
        for text in
            ["a b", "a (1)", "a (>= )", "a (>= 1", "a [amd64]", "a <!nocheck>", "../a", "a |", "a (>= 1/2)", "-a"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_restriction_says_for_which_architectures_a_relation_is() {
        for (text, expected) in [
            ("a (>= 1)", Some("a (>= 1)")),
            ("a [amd64 arm64]", Some("a")),
            ("a (>= 1) [linux-any]", Some("a (>= 1)")),
            ("a[arm64]", None),
            ("a [!amd64]", None),
            ("a [!i386 !arm64]", Some("a")),
            ("a []", None),
        ] {
            assert_eq!(unrestricted(text, "amd64"), expected, "{text}");
        }
    }

    #[test]
    fn an_unversioned_provision_meets_no_constraint() {
        let relation = Relation::parse("a (>= 1)").unwrap();
        assert!(!relation.accepts_provided(None));
        assert!(relation.accepts_provided(Some("1")));
        assert!(Relation::parse("a").unwrap().accepts_provided(None));
    }
}
