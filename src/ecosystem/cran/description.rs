//! A DESCRIPTION file: what an R package is called, and what it needs to be loaded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Unreadable;
use super::requirement::{self, Requirement};

/// The fields whose packages R loads along; `Suggests` is for whoever wants it.
const NEEDS: [&str; 2] = ["Depends", "Imports"];
/// The field whose packages have headers that compiling needs.
const HEADERS: [&str; 1] = ["LinkingTo"];

/// A DESCRIPTION file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    fields: BTreeMap<String, String>,
}

impl Description {
    /// Reads the file's text: `Field: value` lines, continued on lines that begin with white space.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut current = None;
        for (index, line) in text.lines().enumerate() {
            let wrong = || Unreadable::Line { line: index + 1 };
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let value = current.as_ref().and_then(|name| fields.get_mut(name)).ok_or_else(wrong)?;
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':').filter(|(name, _)| !name.contains(' ')).ok_or_else(wrong)?;
            fields.insert(name.to_owned(), value.trim().to_owned());
            current = Some(name.to_owned());
        }
        Ok(Self { fields })
    }

    /// Returns a field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Returns the packages that R loads along with this one, `R` itself among them.
    pub fn needs(&self) -> Result<Vec<Requirement>, Unreadable> {
        self.requirements(&NEEDS)
    }

    /// Returns the packages whose headers compiling this one needs.
    pub fn headers(&self) -> Result<Vec<Requirement>, Unreadable> {
        self.requirements(&HEADERS)
    }

    fn requirements(&self, fields: &[&str]) -> Result<Vec<Requirement>, Unreadable> {
        let fields = fields.iter().filter_map(|name| self.field(name));
        let texts = split(fields).filter(|text| !text.is_empty());
        texts
            .map(|text| {
                requirement::parse(&text.replace('\n', " "))
                    .ok_or_else(|| Unreadable::Requirement { text: text.to_owned() })
            })
            .collect()
    }
}

/// Splits fields at commas. None stands inside parentheses there.
fn split<'a>(fields: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    fields.flat_map(|field| field.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_r_loads_is_read_and_nothing_else() {
        let text = "Package: x\nVersion: 1.2-3\nDepends: R (>= 3.5.0), methods\nImports:\n    Rcpp (>= 1.0),\n\tdata.table\n\nLinkingTo: BH\nSuggests: testthat\nURL: a:b\n";
        let description = Description::parse(text).unwrap();
        assert_eq!(description.field("Version"), Some("1.2-3"));
        let needs: Vec<_> = description.needs().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["R (>= 3.5.0)", "methods", "Rcpp (>= 1.0)", "data.table"]);
        assert_eq!(description.headers().unwrap()[0].name, "BH");
    }

    #[test]
    fn what_is_no_description_is_refused_with_its_line() {
        let line = |text: &str| match Description::parse(text) {
            Err(Unreadable::Line { line }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("Package: x\nlibrary(ranger)\n"), 2);
        assert_eq!(line("  continued\n"), 1);
        let needs = Description::parse("Imports: a/b").unwrap().needs();
        assert!(matches!(needs, Err(Unreadable::Requirement { text }) if text == "a/b"));
    }
}
