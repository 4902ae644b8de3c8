//! Pins: which versions of a package count, where that is not left to the archive.
//!
//! A pin is written as apt takes it on its command line, `name=version` or `name/release`, or as a relationship,
//! `name (>= version)`. It says nothing of whether the package is wanted.

use super::catalog::Catalog;
use super::relation::Relation;
use super::resolve::{ResolveError, similar};

/// A package, and which of its versions will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    name: String,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Those that a relationship accepts.
    Relation(String),
    /// That of a release, such as `bookworm-security`.
    Release(String),
}

/// Returns the package that a text such as `libssl3=3.0.11-1` is about.
pub fn package_name(text: &str) -> &str {
    text.find(['=', '/', ' ', '(']).map_or(text, |end| &text[..end])
}

impl Pin {
    /// Reads a pin; `None` where the text is the name alone, of which every version will do.
    pub fn parse(text: &str) -> Option<Self> {
        let name = package_name(text);
        let wanted = match text[name.len()..].split_at_checked(1)? {
            ("=", version) => Wanted::Relation(format!("{name} (= {version})")),
            ("/", release) => Wanted::Release(release.to_owned()),
            _ => Wanted::Relation(text.to_owned()),
        };
        Some(Self { name: name.to_owned(), wanted })
    }

    /// Returns the package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the versions that will do, the preferred one first; there is at least one.
    pub(super) fn versions(&self, catalog: &Catalog) -> Result<Vec<String>, ResolveError> {
        let known = catalog.versions(&self.name);
        if known.is_empty() {
            let (name, reason) = (self.name.clone(), "manifest".to_owned());
            return Err(ResolveError::Unknown { similar: similar(catalog, &name), name, reason });
        }
        let mut versions: Vec<_> = match &self.wanted {
            Wanted::Release(release) if !catalog.suites().any(|suite| suite == release) => {
                let open = catalog.suites().map(str::to_owned).collect();
                return Err(ResolveError::Suite { name: self.name.clone(), suite: release.clone(), open });
            }
            Wanted::Release(release) => {
                known.iter().filter(|record| record.release == release).map(|record| record.version).collect()
            }
            Wanted::Relation(text) => {
                let relation = Relation::parse(text)
                    .map_err(|source| ResolveError::Requirement { reason: "manifest".to_owned(), source })?;
                known.iter().map(|record| record.version).filter(|version| relation.accepts(version)).collect()
            }
        };
        versions.dedup();
        if versions.is_empty() {
            let relation = match &self.wanted {
                Wanted::Relation(relation) => relation.clone(),
                Wanted::Release(release) => format!("{}/{release}", self.name),
            };
            let found = known.iter().map(|record| format!("{} ({})", record.version, record.release)).collect();
            return Err(ResolveError::Version { relation, reason: "manifest".to_owned(), found });
        }
        Ok(versions.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::Index;
    use super::*;

    fn catalog() -> Catalog {
        let index = |release: &str, text: &str| Index::parse(release, text.as_bytes().to_vec()).unwrap();
        Catalog::new(vec![
            index("demo", "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\nDepends: a (>= 2)\n"),
            index("demo-security", "Package: a\nVersion: 2\n"),
        ])
    }

    fn pinned(text: &str) -> Result<Vec<String>, String> {
        let versions = Pin::parse(text).unwrap().versions(&catalog());
        versions.map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_says_which_versions_will_do() {
        assert_eq!(Pin::parse("a"), None);
        assert_eq!(pinned("a=1").unwrap(), ["1"]);
        assert_eq!(pinned("a/demo").unwrap(), ["1"]);
        assert_eq!(pinned("a/demo-security").unwrap(), ["2"]);
        assert_eq!(pinned("a (>= 1)").unwrap(), ["2", "1"]);
        assert_eq!(["a", "a=1", "a/demo", "a (>= 1)", "a(>= 1)"].map(package_name), ["a"; 5]);
    }

    #[test]
    fn a_pin_that_nothing_meets_names_what_there_is() {
        let expected = "which manifest asks for: the archive has 2 (demo-security), 1 (demo)";
        assert_eq!(pinned("a=3").unwrap_err(), format!("there is no package `a (= 3)`, {expected}"));
        assert_eq!(
            pinned("b/demo-security").unwrap_err(),
            "there is no package `b/demo-security`, which manifest asks for: the archive has 1 (demo)"
        );
        let expected = "`a/demo-updates` asks for a suite that is not among demo, demo-security";
        assert_eq!(pinned("a/demo-updates").unwrap_err(), expected);
        assert_eq!(pinned("c/demo").unwrap_err(), "there is no package `c`, which manifest asks for");
        assert!(pinned("a (!= 1)").is_err());
    }

    #[test]
    fn a_pinned_package_is_there_in_no_other_version() {
        let mut catalog = catalog();
        assert_eq!(catalog.candidate("a").unwrap().version, "2");
        catalog.pin(&Pin::parse("a/demo").unwrap()).unwrap();
        assert_eq!(catalog.candidate("a").unwrap().version, "1");
        assert_eq!(catalog.versions("a").len(), 1);
        let roots = [super::super::Root { relation: "b".to_owned(), reason: "manifest".to_owned() }];
        let error = super::super::resolve::resolve(&catalog, "amd64", &roots).unwrap_err();
        let expected = "`b` cannot be installed: `b 1` depends on `a (>= 2)`, which nothing can satisfy while `a` is \
                        pinned to 1";
        assert_eq!(error.to_string(), expected);
    }
}
