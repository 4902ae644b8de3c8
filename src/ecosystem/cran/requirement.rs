//! A requirement of an R package, and the order of R's versions.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::CranError;

/// The packages that are part of R itself. `R` stands for the interpreter in requirements.
const BASE: [&str; 15] = [
    "R",
    "base",
    "compiler",
    "datasets",
    "grDevices",
    "graphics",
    "grid",
    "methods",
    "parallel",
    "splines",
    "stats",
    "stats4",
    "tcltk",
    "tools",
    "utils",
];
/// The longest package name taken, in characters; real ones have up to thirty.
const MAX_NAME: usize = 100;

/// A package by its name in R, and the versions of it that will do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The repository that it must be from, as pak writes it: `cran::data.table`.
    pub repository: Option<String>,
    /// The name, such as `data.table`.
    pub name: String,
    /// All of them must hold.
    pub constraints: Vec<Constraint>,
}

/// A comparison with a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constraint {
    operator: Operator,
    version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    GreaterOrEqual,
    LessOrEqual,
    Equal,
    NotEqual,
    Greater,
    Less,
}

/// Longer ones first; `@` is what renv and pak write.
const OPERATORS: [(&str, Operator); 8] = [
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
    ("@", Operator::Equal),
];

impl Requirement {
    /// Whether the package is part of R itself, or R.
    pub fn is_base(&self) -> bool {
        BASE.contains(&&*self.name)
    }

    /// The version asked for, where only one will do.
    pub fn exact(&self) -> Option<&str> {
        let is_exact = |constraint: &&Constraint| constraint.operator == Operator::Equal;
        self.constraints.iter().find(is_exact).map(|constraint| &*constraint.version)
    }

    /// Whether this version will do.
    pub fn accepts(&self, version: &str) -> bool {
        self.constraints.iter().all(|constraint| constraint.accepts(version))
    }
}

impl Constraint {
    fn accepts(&self, version: &str) -> bool {
        let order = compare(version, &self.version);
        match self.operator {
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Greater => order.is_gt(),
            Operator::Less => order.is_lt(),
        }
    }
}

impl FromStr for Requirement {
    type Err = CranError;

    /// Reads `name`, `name>=1.2,<2`, `name@1.2`, `cran::name`, or `name (>= 1.2)` as a DESCRIPTION has it.
    fn from_str(text: &str) -> Result<Self, CranError> {
        parse(text).ok_or_else(|| CranError::Requirement { line: text.to_owned() })
    }
}

/// Reads a requirement; `None` where the text is none.
pub(super) fn parse(text: &str) -> Option<Requirement> {
    let text = text.trim();
    let (repository, text) = match text.split_once("::") {
        Some((repository, rest)) if is_repository_name(repository) => (Some(repository.to_owned()), rest),
        Some(_) => return None,
        None => (None, text),
    };
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim();
    let rest = rest.strip_prefix('(').map_or(Some(rest), |inner| inner.strip_suffix(')'))?;
    if name.len() > MAX_NAME || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let parts = rest.split(',').filter(|_| !rest.is_empty());
    let constraints = parts.map(constraint).collect::<Option<_>>()?;
    Some(Requirement { repository, name: name.to_owned(), constraints })
}

fn is_repository_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn constraint(text: &str) -> Option<Constraint> {
    let text = text.trim();
    let (operator, version) =
        OPERATORS.iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))?;
    let version = version.trim();
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    is_version.then(|| Constraint { operator: *operator, version: version.to_owned() })
}

/// Compares versions as R's `package_version` does: numbers, separated by `.` or `-`.
pub fn compare(left: &str, right: &str) -> Ordering {
    fn numbers(version: &str) -> impl Iterator<Item = u64> {
        version.split(['.', '-']).map(|number| number.parse().unwrap_or(0))
    }
    numbers(left).cmp(numbers(right))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            write!(f, "{repository}::")?;
        }
        f.write_str(&self.name)?;
        for (index, constraint) in self.constraints.iter().enumerate() {
            let sign =
                OPERATORS.iter().find(|(_, operator)| *operator == constraint.operator).map_or("", |(sign, _)| sign);
            write!(f, "{}{sign} {}", if index == 0 { " (" } else { ", " }, constraint.version)?;
        }
        f.write_str(if self.constraints.is_empty() { "" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_one_is_read() {
        for (text, shown) in [
            ("ranger", "ranger"),
            ("ranger>=0.14", "ranger (>= 0.14)"),
            (" data.table == 1.14.8 ", "data.table (== 1.14.8)"),
            ("glmnet@4.1-6", "glmnet (== 4.1-6)"),
            ("Rcpp (>= 1.0.9)", "Rcpp (>= 1.0.9)"),
            ("rlang>=1.0,<2", "rlang (>= 1.0, < 2)"),
            ("cran::xml2 == 1.3.3", "cran::xml2 (== 1.3.3)"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["", "1x", "ranger 0.14", "ranger>=", "ranger>=x", "github::a/b", "a (>= 1", "a/b", "ä", &"a".repeat(101)]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn versions_have_the_order_of_r() {
        let sorted = ["1", "1.0", "1.0-1", "1.0.2", "1.2", "1.10", "7.3-58.1", "7.3-58.2"];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("1.0-1", "1.0.1"), Ordering::Equal);
        let requirement = parse("x>=1.2,!=1.3").unwrap();
        assert_eq!(["1.1", "1.2", "1.3", "2"].map(|version| requirement.accepts(version)), [false, true, false, true]);
    }
}
