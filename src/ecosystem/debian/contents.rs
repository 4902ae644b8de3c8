//! Which package has a shared library, from the archive's `Contents` index.
//!
//! `Contents` lists files, not the links that alternatives make: a library such as `libblas.so.3` that exists only as an
//! alternative is found by who provides its name.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

/// The packages that have a library, by the library's file name.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sonames(BTreeMap<String, Vec<String>>);

impl Sonames {
    /// Reads a `Contents` index, keeping the libraries in the folders that the loader searches.
    ///
    /// The index is as large as 150 MB; one line at a time is held.
    pub fn scan(mut contents: impl BufRead, triplet: &str) -> io::Result<Self> {
        let mut sonames: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut line = Vec::new();
        while contents.read_until(b'\n', &mut line)? > 0 {
            if let Some((name, packages)) = library(&line, triplet) {
                sonames.entry(name.to_owned()).or_default().extend(packages.split(',').map(package_name));
            }
            line.clear();
        }
        for packages in sonames.values_mut() {
            packages.sort();
            packages.dedup();
        }
        Ok(Self(sonames))
    }

    /// Adds a library that a package has.
    pub fn add(&mut self, soname: &str, package: &str) {
        let packages = self.0.entry(soname.to_owned()).or_default();
        if let Err(position) = packages.binary_search_by(|known| known.as_str().cmp(package)) {
            packages.insert(position, package.to_owned());
        }
    }

    /// Adds what another index has.
    pub fn merge(&mut self, other: Self) {
        for (soname, packages) in other.0 {
            for package in packages {
                self.add(&soname, &package);
            }
        }
    }

    /// Returns the libraries with the same name before `.so`, whatever their version.
    pub fn versions(&self, soname: &str) -> impl Iterator<Item = (&str, &[String])> {
        let (stem, _) = soname.split_once(".so").unwrap_or((soname, ""));
        let same =
            self.0.iter().filter(move |(name, _)| name.split_once(".so").is_some_and(|(other, _)| other == stem));
        same.map(|(name, packages)| (name.as_str(), packages.as_slice()))
    }

    /// Returns the names of the packages that have a library, sorted.
    pub fn packages(&self, soname: &str) -> &[String] {
        self.0.get(soname).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the files of a `Contents` index whose paths, without a leading slash, fit, each with the packages that have it.
pub(super) fn search(
    mut contents: impl BufRead,
    fits: &dyn Fn(&str) -> bool,
) -> io::Result<Vec<(String, Vec<String>)>> {
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while contents.read_until(b'\n', &mut line)? > 0 {
        let text = std::str::from_utf8(&line).ok().and_then(|text| text.trim_end().rsplit_once([' ', '\t']));
        if let Some((path, packages)) = text
            && fits(path.trim_end())
        {
            found.push((path.trim_end().to_owned(), packages.split(',').map(package_name).collect()));
        }
        line.clear();
    }
    Ok(found)
}

/// Returns the library that a line is about, and its column of packages.
fn library<'a>(line: &'a [u8], triplet: &str) -> Option<(&'a str, &'a str)> {
    // Nearly all lines end here, before they are checked to be text.
    let path = line.strip_prefix(b"usr/").unwrap_or(line);
    let rest = path.strip_prefix(b"lib64/").or_else(|| path.strip_prefix(b"lib/"))?;
    let rest = rest.strip_prefix(triplet.as_bytes()).and_then(|rest| rest.strip_prefix(b"/")).unwrap_or(rest);
    let (name, packages) = std::str::from_utf8(rest).ok()?.trim_end().rsplit_once([' ', '\t'])?;
    let name = name.trim_end();
    (!name.contains('/') && is_library(name)).then_some((name, packages))
}

/// Whether a file's name is one that the loader may be asked for.
fn is_library(name: &str) -> bool {
    name.split_once(".so").is_some_and(|(_, version)| version.is_empty() || version.starts_with('.'))
}

/// Returns the package's name, without the section before it.
fn package_name(qualified: &str) -> String {
    qualified.rsplit('/').next().unwrap_or(qualified).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_that_the_loader_finds_are_kept() {
        let contents = b"bin/sh                 shells/dash\n\
            lib/x86_64-linux-gnu/libz.so.1\t libs/zlib1g\n\
            lib64/ld-linux-x86-64.so.2      libs/libc6\n\
            usr/lib/x86_64-linux-gnu/libz.so.1 libs/zlib1g,non-free/libs/other\n\
            usr/lib/x86_64-linux-gnu/libz.a libdevel/zlib1g-dev\n\
            usr/lib/x86_64-linux-gnu/blas/libblas.so.3 libs/libblas3\n\
            usr/lib/aarch64-linux-gnu/libc.so.6 libs/libc6-arm64-cross\n\
            usr/lib/libreoffice/program/libx.so libs/x\n\
            usr/lib/libwith space.so  libs/y\n\
            usr/lib/\xff.so  libs/z\n";
        let sonames = Sonames::scan(&contents[..], "x86_64-linux-gnu").unwrap();
        assert_eq!(sonames.packages("libz.so.1"), ["other", "zlib1g"]);
        assert_eq!(sonames.packages("ld-linux-x86-64.so.2"), ["libc6"]);
        assert_eq!(sonames.packages("libwith space.so"), ["y"]);
        assert_eq!(sonames.0.len(), 3);
        let found = search(&contents[..], &|path| path.ends_with("/libz.a")).unwrap();
        assert_eq!(found, [("usr/lib/x86_64-linux-gnu/libz.a".to_owned(), vec!["zlib1g-dev".to_owned()])]);
    }
}
