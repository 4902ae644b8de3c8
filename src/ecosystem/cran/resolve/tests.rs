//! Choosing, on a shelf that the tests fill.

use super::*;
use crate::digest::Digest;
use crate::lock::PackageKind;

/// Debian names or repository names, with versions and DESCRIPTION files.
struct Demo {
    debian: &'static [(&'static str, &'static str, &'static str)],
    repository: &'static [(&'static str, &'static str)],
}

const DEBIAN: &[(&str, &str, &str)] = &[
    ("r-bioc-limma", "3.54-1", "Package: limma\nVersion: 3.54.1\n"),
    ("r-cran-empty", "1-1", ""),
    ("r-cran-matrix", "1.5-3-1", "Package: Matrix\nVersion: 1.5-3\nImports: methods, limma\n"),
    (
        "r-cran-ranger",
        "0.14.1-1",
        "Package: ranger\nVersion: 0.14.1\nDepends: R (>= 3.1)\nImports: Matrix (>= 1.2)\nLinkingTo: BH, Matrix\n",
    ),
];

const REPOSITORY: &[(&str, &str)] = &[
    ("bh", "Package: BH\nVersion: 1.81.0\n"),
    ("matrix", "Package: Matrix\nVersion: 1.6\nNeedsCompilation: yes\nDepends: R (>= 4.0)\nLinkingTo: BH\n"),
    ("matrix", "Package: Matrix\nVersion: 1.7\nDepends: R (>= 4.4)\n"),
    ("ranger", "Package: ranger\nVersion: 0.16.0\nImports: Matrix (>= 1.6)\n"),
];

impl Demo {
    fn text(&self, candidate: &Candidate) -> &str {
        match &candidate.repository {
            None => self.debian.iter().find(|(name, ..)| *name == candidate.path).unwrap().2,
            Some(_) => {
                let version = format!("Version: {}\n", candidate.version);
                let fits = |(name, text): &&(&str, &str)| *name == candidate.path && text.contains(&version);
                self.repository.iter().find(fits).unwrap().1
            }
        }
    }
}

impl Shelf for Demo {
    fn suite(&self) -> &str {
        "bookworm"
    }

    fn r_version(&self) -> String {
        "4.2.2.20221110".to_owned()
    }

    fn repositories(&self) -> Vec<String> {
        if self.repository.is_empty() { Vec::new() } else { vec!["cran".to_owned()] }
    }

    fn debian(&self, name: &str) -> Option<Candidate> {
        let found = self.debian.iter().find(|(debian, ..)| debian.split('-').nth(2) == Some(&name.to_lowercase()));
        found.map(|(debian, version, _)| Candidate {
            name: name.to_owned(),
            repository: None,
            version: (*version).to_owned(),
            path: (*debian).to_owned(),
            md5: None,
        })
    }

    fn offered(&self, name: &str, _exact: Option<&str>) -> Result<Vec<Candidate>> {
        let entries = self.repository.iter().filter(|(entry, _)| *entry == name.to_lowercase()).rev();
        let candidate = |(path, text): &(&str, &str)| Candidate {
            name: name.to_owned(),
            repository: Some("cran".to_owned()),
            version: Description::parse(text).unwrap().field("Version").unwrap().to_owned(),
            path: (*path).to_owned(),
            md5: None,
        };
        Ok(entries.map(candidate).collect())
    }

    fn open(&self, candidates: &[Candidate]) -> Result<Vec<Result<Opened, String>>> {
        let open = |candidate: &Candidate| {
            let text = self.text(candidate);
            let description = Description::parse(text).unwrap();
            let source = candidate.repository.is_some();
            let package = Package {
                kind: if source { PackageKind::R } else { PackageKind::Deb },
                name: candidate.path.clone(),
                version: candidate.version.clone(),
                architecture: None,
                source: None,
                release: None,
                path: String::new(),
                size: 0,
                sha256: Digest::of(b""),
                reasons: Vec::new(),
            };
            if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Opened { package, description, source }) }
        };
        Ok(candidates.iter().map(open).collect())
    }
}

fn chosen(shelf: &Demo, lines: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
    let wanted = |line: &&str| Wanted { requirement: line.parse().unwrap(), origin: None };
    let resolution = resolve(shelf, &lines.iter().map(wanted).collect::<Vec<_>>())?;
    let show = |package: &Package| format!("{} {}: {}", package.name, package.version, package.reasons.join(" "));
    Ok((resolution.packages.iter().map(show).collect(), resolution.headers.iter().map(show).collect()))
}

const PLAIN: Demo = Demo { debian: DEBIAN, repository: &[] };
const BOTH: Demo = Demo { debian: DEBIAN, repository: REPOSITORY };

#[test]
fn what_r_loads_comes_along_and_what_only_compilers_need_does_not() {
    let expected =
        ["r-bioc-limma 3.54-1: Matrix", "r-cran-matrix 1.5-3-1: manifest ranger", "r-cran-ranger 0.14.1-1: manifest"];
    for shelf in [&PLAIN, &BOTH] {
        let (packages, headers) = chosen(shelf, &["ranger>=0.14", "Matrix", "stats"]).unwrap();
        assert_eq!(packages, expected);
        assert!(headers.is_empty());
    }
    assert_eq!(chosen(&PLAIN, &[]).unwrap().0, Vec::<String>::new());
}

#[test]
fn what_debian_has_too_old_is_from_the_newest_source_that_fits_this_r() {
    let (packages, headers) = chosen(&BOTH, &["ranger>=0.15"]).unwrap();
    assert_eq!(packages, ["matrix 1.6: ranger", "ranger 0.16.0: manifest"]);
    assert_eq!(headers, ["bh 1.81.0: Matrix"]);
}

#[test]
fn a_binary_gives_way_that_was_compiled_for_another_version_than_is_loaded() {
    let (packages, _) = chosen(&BOTH, &["ranger", "cran::Matrix"]).unwrap();
    assert_eq!(packages, ["matrix 1.6: manifest ranger", "ranger 0.16.0: manifest"]);
}

#[test]
fn all_that_cannot_be_had_is_said_at_once() {
    let error = chosen(&PLAIN, &["ranger>=0.15", "matrix", "prophet", "R (>= 4.5)", "empty"]).unwrap_err();
    let expected = "R packages cannot be had for Debian bookworm:
  `R (>= 4.5)`, which the manifest asks for: the release has 4.2.2.20221110
  `empty`, which the manifest asks for: it is empty
  `matrix`, which the manifest asks for: the package is called `Matrix`
  `prophet`, which the manifest asks for: the release has no such package
  `ranger (>= 0.15)`, which the manifest asks for: the release has 0.14.1";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.diagnosis().exit(), crate::error::Exit::Resolution);
    assert!(error.diagnosis().hints()[0].contains("runtime.repositories"));
    let error = chosen(&BOTH, &["Matrix>=1.7", "bioc::limma", "cran::limma"]).unwrap_err();
    let expected = "R packages cannot be had for Debian bookworm:
  `Matrix (>= 1.7)`, which the manifest asks for: the release has 1.5-3; the repository `cran` has 1.7, which needs \
                    R (>= 4.4), and this R is 4.2.2.20221110; the repository `cran` has 1.6
  `bioc::limma`, which the manifest asks for: there is no repository `bioc`
  `cran::limma`, which the manifest asks for: the repository `cran` has no such package";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_from_elsewhere_is_taken_from_a_repository_alone() {
    let wanted = |line: &str| Wanted { requirement: line.parse().unwrap(), origin: Some("GitHub".to_owned()) };
    let found = resolve(&BOTH, &[wanted("ranger==0.16.0")]).unwrap();
    assert_eq!(found.packages[1].kind, PackageKind::R);
    let error = resolve(&PLAIN, &[wanted("ranger==0.14.1")]).unwrap_err().to_string();
    assert!(error.contains("it is from GitHub: only a repository of yours"), "{error}");
}
