//! R packages from Debian's binary packages: `r-cran-<name>` and `r-bioc-<name>`, in lower case.

use std::collections::{BTreeMap, BTreeSet};

use super::{CranError, Description, Problem, Requirement};
use crate::ecosystem::debian::Root;
use crate::error::Result;
use crate::lock::Package;

/// How Debian names packages of CRAN and of Bioconductor.
const PREFIXES: [&str; 2] = ["r-cran-", "r-bioc-"];
/// Who asks first.
const MANIFEST: &str = "manifest";

/// Where the packages come from: the Debian archive, or what stands for it in tests.
pub trait Library {
    /// The release's name, such as `bookworm`.
    fn suite(&self) -> &str;

    /// The newest version of a Debian package; `None` where there is none.
    fn version(&self, debian: &str) -> Option<String>;

    /// Chooses Debian packages, without what they depend on.
    fn choose(&self, roots: &[Root]) -> Result<Vec<Package>>;

    /// Returns the text of the packages' DESCRIPTION files, in the order given; `None` for one without.
    fn descriptions(&self, packages: &[Package]) -> Result<Vec<Option<String>>>;
}

/// A requirement, and who has it: [`MANIFEST`] or a Debian package.
struct Need {
    requirement: Requirement,
    by: String,
}

/// A chosen package.
struct Chosen {
    package: Package,
    description: Description,
}

struct Resolver<'a> {
    library: &'a dyn Library,
    /// By Debian's name.
    chosen: BTreeMap<String, Chosen>,
    reasons: BTreeMap<String, BTreeSet<String>>,
    problems: BTreeSet<Problem>,
}

/// Chooses packages that meet the requirements, and what they need in turn, sorted by name.
///
/// All that cannot be had is said at once.
pub fn resolve(library: &dyn Library, requirements: Vec<Requirement>) -> Result<Vec<Package>> {
    let mut resolver =
        Resolver { library, chosen: BTreeMap::new(), reasons: BTreeMap::new(), problems: BTreeSet::new() };
    let need = |requirement| Need { requirement, by: MANIFEST.to_owned() };
    let mut open: Vec<_> = requirements.into_iter().map(need).collect();
    // Level by level, so that the packages of a level are fetched together.
    while !open.is_empty() {
        open = resolver.level(open)?;
    }
    resolver.finish()
}

impl Resolver<'_> {
    /// Meets the needs, and returns those of the packages that are new.
    fn level(&mut self, needs: Vec<Need>) -> Result<Vec<Need>> {
        let mut found = Vec::new();
        for need in needs {
            if need.requirement.is_base() {
                self.check_interpreter(&need);
            } else if let Some(name) = self.debian_name(&need.requirement.name) {
                self.reasons.entry(name.clone()).or_default().insert(need.by.clone());
                found.push((name, need));
            } else {
                self.refuse(&need, "the release has no such package".to_owned());
            }
        }
        let fresh = self.fetch(&found)?;
        for (name, need) in &found {
            self.check(name, need);
        }
        Ok(fresh)
    }

    /// Chooses the packages that are not chosen yet, and returns what they need.
    fn fetch(&mut self, found: &[(String, Need)]) -> Result<Vec<Need>> {
        let new: BTreeSet<_> =
            found.iter().map(|(name, _)| name).filter(|name| !self.chosen.contains_key(*name)).collect();
        let roots: Vec<_> =
            new.into_iter().map(|name| Root { relation: name.clone(), reason: MANIFEST.to_owned() }).collect();
        let packages = self.library.choose(&roots)?;
        let texts = self.library.descriptions(&packages)?;
        let mut needs = Vec::new();
        for (package, text) in packages.into_iter().zip(texts) {
            let name = package.name.clone();
            let text = text.ok_or_else(|| CranError::Empty { package: name.clone() })?;
            let unreadable = |source| CranError::Description { package: name.clone(), source };
            let description = Description::parse(&text).map_err(unreadable)?;
            let wanted = description.needs().map_err(unreadable)?.into_iter();
            needs.extend(wanted.map(|requirement| Need { requirement, by: name.clone() }));
            self.chosen.insert(name, Chosen { package, description });
        }
        Ok(needs)
    }

    /// Returns the Debian package that an R package's name stands for.
    fn debian_name(&self, name: &str) -> Option<String> {
        let names = PREFIXES.iter().map(|prefix| format!("{prefix}{}", name.to_ascii_lowercase()));
        names.into_iter().find(|name| self.chosen.contains_key(name) || self.library.version(name).is_some())
    }

    /// Checks that the chosen package is the one that is needed: R's names know case, Debian's do not.
    fn check(&mut self, debian: &str, need: &Need) {
        let Some(chosen) = self.chosen.get(debian) else { return };
        let name = chosen.description.field("Package").unwrap_or_default();
        let version = chosen.description.field("Version").unwrap_or_default();
        if name != need.requirement.name {
            let reason = format!("the package is called `{name}`");
            self.refuse(need, reason);
        } else if !need.requirement.accepts(version) {
            let reason = format!("the release has {version}");
            self.refuse(need, reason);
        }
    }

    /// Checks a requirement of R itself; its own packages have its version.
    fn check_interpreter(&mut self, need: &Need) {
        let version = self.library.version("r-base-core").unwrap_or_default();
        let upstream = version.split('-').next().unwrap_or_default();
        if need.requirement.name == "R" && !need.requirement.accepts(upstream) {
            let reason = format!("the release has {upstream}");
            self.refuse(need, reason);
        }
    }

    fn refuse(&mut self, need: &Need, reason: String) {
        let by = if need.by == MANIFEST { "the manifest".to_owned() } else { need.by.clone() };
        self.problems.insert(Problem { requirement: need.requirement.to_string(), by, reason });
    }

    fn finish(mut self) -> Result<Vec<Package>> {
        if !self.problems.is_empty() {
            let problems = self.problems.into_iter().collect();
            return Err(CranError::Unavailable { suite: self.library.suite().to_owned(), problems }.into());
        }
        let with_reasons = |(name, chosen): (String, Chosen)| {
            let reasons = self.reasons.remove(&name).unwrap_or_default();
            Package { reasons: reasons.into_iter().collect(), ..chosen.package }
        };
        Ok(self.chosen.into_iter().map(with_reasons).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::lock::PackageKind;

    /// Debian names with versions and DESCRIPTION files.
    struct Shelf(&'static [(&'static str, &'static str, &'static str)]);

    const SHELF: Shelf = Shelf(&[
        ("r-base-core", "4.2.2.20221110-2", ""),
        ("r-bioc-limma", "3.54-1", "Package: limma\nVersion: 3.54.1\n"),
        ("r-cran-empty", "1-1", ""),
        ("r-cran-matrix", "1.5-3-1", "Package: Matrix\nVersion: 1.5-3\nImports: methods, limma\n"),
        (
            "r-cran-ranger",
            "0.14.1-1",
            "Package: ranger\nVersion: 0.14.1\nDepends: R (>= 3.1)\nImports: Matrix (>= 1.2)\nLinkingTo: BH\n",
        ),
    ]);

    impl Library for Shelf {
        fn suite(&self) -> &str {
            "bookworm"
        }

        fn version(&self, debian: &str) -> Option<String> {
            self.0.iter().find(|(name, ..)| *name == debian).map(|(_, version, _)| (*version).to_owned())
        }

        fn choose(&self, roots: &[Root]) -> Result<Vec<Package>> {
            let package = |root: &Root| Package {
                kind: PackageKind::Deb,
                name: root.relation.clone(),
                version: self.version(&root.relation).unwrap(),
                architecture: None,
                source: None,
                release: None,
                path: String::new(),
                size: 0,
                sha256: Digest::of(b""),
                reasons: Vec::new(),
            };
            Ok(roots.iter().map(package).collect())
        }

        fn descriptions(&self, packages: &[Package]) -> Result<Vec<Option<String>>> {
            let text = |package: &Package| self.0.iter().find(|(name, ..)| *name == package.name).unwrap().2;
            Ok(packages.iter().map(text).map(|text| (!text.is_empty()).then(|| text.to_owned())).collect())
        }
    }

    fn chosen(lines: &[&str]) -> Result<Vec<String>> {
        let packages = resolve(&SHELF, lines.iter().map(|line| line.parse().unwrap()).collect())?;
        Ok(packages.into_iter().map(|package| format!("{}: {}", package.name, package.reasons.join(" "))).collect())
    }

    #[test]
    fn what_r_loads_comes_along_and_what_only_compilers_need_does_not() {
        let expected =
            ["r-bioc-limma: r-cran-matrix", "r-cran-matrix: manifest r-cran-ranger", "r-cran-ranger: manifest"];
        assert_eq!(chosen(&["ranger>=0.14", "Matrix", "stats"]).unwrap(), expected);
        assert_eq!(chosen(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn all_that_cannot_be_had_is_said_at_once() {
        let error = chosen(&["ranger>=0.15", "matrix", "prophet", "R (>= 4.5)"]).unwrap_err();
        let expected = "R packages cannot be had from Debian bookworm:
  `R (>= 4.5)`, which the manifest asks for: the release has 4.2.2.20221110
  `matrix`, which the manifest asks for: the package is called `Matrix`
  `prophet`, which the manifest asks for: the release has no such package
  `ranger (>= 0.15)`, which the manifest asks for: the release has 0.14.1";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.diagnosis().exit(), crate::error::Exit::Resolution);
    }

    #[test]
    fn a_debian_package_without_an_r_package_is_an_error() {
        assert_eq!(
            chosen(&["empty"]).unwrap_err().to_string(),
            "the Debian package `r-cran-empty` has no R package in it"
        );
    }
}
