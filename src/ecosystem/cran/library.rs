//! Who has an R package: Debian, as `r-cran-<name>` or `r-bioc-<name>` in lower case, and repositories.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::repository::{self, Entry, Index, Repository};
use super::resolve::{Candidate, Opened, Shelf};
use super::{CranError, Description, package, requirement, upstream};
use crate::ecosystem::debian::{Archive, Debs, Root};
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::http::Http;
use crate::fetch::{BlobStore, pack};
use crate::layer::tree::Tree;
use crate::lock::{Package, PackageKind};
use crate::platform::Platform;

/// How Debian names packages of CRAN and of Bioconductor.
const PREFIXES: [&str; 2] = ["r-cran-", "r-bioc-"];

/// Where Debian's packages put R packages: the recommended ones into the first, all others into the second.
const FOLDERS: [&str; 2] = ["usr/lib/R/library", "usr/lib/R/site-library"];

/// Debian's archive and the repositories, for one platform.
pub struct Library<'a> {
    archive: &'a Archive,
    debs: &'a Debs,
    suite: &'a str,
    platform: Platform,
    repositories: Vec<(Repository, OnceLock<Index>)>,
    blobs: &'a BlobStore,
    derived: &'a Derived,
    http: &'a Http,
}

impl<'a> Library<'a> {
    /// Returns the library. Nothing is fetched yet: a repository's list is read once Debian does not have a package.
    pub fn new(
        (archive, debs): (&'a Archive, &'a Debs),
        (suite, platform): (&'a str, Platform),
        repositories: Vec<Repository>,
        (blobs, derived): (&'a BlobStore, &'a Derived),
        http: &'a Http,
    ) -> Self {
        let repositories = repositories.into_iter().map(|repository| (repository, OnceLock::new())).collect();
        Self { archive, debs, suite, platform, repositories, blobs, derived, http }
    }

    /// Returns what a repository has of a package, the highest version first.
    fn entries(&self, repository: &(Repository, OnceLock<Index>), name: &str) -> Result<Vec<Entry>> {
        let (repository, index) = repository;
        if let Some(index) = index.get() {
            return Ok(index.entries(name));
        }
        let read = repository.index(self.http)?;
        Ok(index.get_or_init(|| read).entries(name))
    }

    fn debian_version(&self, debian: &str) -> Option<&str> {
        self.archive.catalog().candidate(debian).map(|record| record.version)
    }

    fn open_deb(&self, candidate: &Candidate) -> Result<Result<Opened, String>> {
        let root = Root { relation: candidate.path.clone(), reason: "manifest".to_owned() };
        let packages = self.archive.resolve_only(&[root])?;
        let package = packages.into_iter().next().expect("the archive has what it gave as a candidate");
        let tree = self.debs.open(&package)?.tree;
        match description(&tree, self.blobs)? {
            Some(text) => {
                let unreadable = |source| CranError::Description { package: candidate.path.clone(), source };
                let description = Description::parse(&text).map_err(unreadable)?;
                Ok(Ok(Opened { package, description, source: false }))
            }
            None => Ok(Err(format!("the Debian package `{}` has no R package in it", candidate.path))),
        }
    }

    fn open_file(&self, candidate: &Candidate) -> Result<Result<Opened, String>> {
        let named = |(repository, _): &&(Repository, _)| Some(repository.name()) == candidate.repository.as_deref();
        let (repository, _) = self.repositories.iter().find(named).expect("candidates are of these repositories");
        let Candidate { name, version, path, md5, .. } = candidate;
        let entry = Entry { version: version.clone(), path: path.clone(), md5: md5.clone() };
        let Some(blob) = repository.fetch(&entry, self.blobs, self.http)? else {
            return Ok(Err(format!("the repository `{}` has no `{path}`", repository.name())));
        };
        let facts = package::facts(name, &blob, self.derived)?;
        if let Some(reason) = facts.misfit(&self.r_version(), self.platform) {
            return Ok(Err(format!("`{path}` of the repository `{}`: {reason}", repository.name())));
        }
        let package = Package {
            kind: PackageKind::R,
            name: name.clone(),
            version: version.clone(),
            architecture: None,
            source: None,
            release: Some(repository.name().to_owned()),
            path: path.clone(),
            size: blob.size,
            sha256: blob.digest,
            reasons: Vec::new(),
        };
        Ok(Ok(Opened { package, source: facts.is_source(), description: facts.description }))
    }
}

impl Shelf for Library<'_> {
    fn suite(&self) -> &str {
        self.suite
    }

    fn r_version(&self) -> String {
        upstream(self.debian_version("r-base-core").unwrap_or_default()).to_owned()
    }

    fn repositories(&self) -> Vec<String> {
        self.repositories.iter().map(|(repository, _)| repository.name().to_owned()).collect()
    }

    fn debian(&self, name: &str) -> Option<Candidate> {
        debian_names(name).into_iter().find_map(|path| {
            let version = self.debian_version(&path)?.to_owned();
            Some(Candidate { name: name.to_owned(), repository: None, version, path, md5: None })
        })
    }

    fn offered(&self, name: &str, exact: Option<&str>) -> Result<Vec<Candidate>> {
        let mut found: Vec<Candidate> = Vec::new();
        for source in &self.repositories {
            let mut entries = self.entries(source, name)?;
            if let Some(exact) = exact.filter(|exact| entries.iter().all(|entry| entry.version != *exact)) {
                entries.push(repository::archived(name, exact));
            }
            found.extend(entries.into_iter().map(|entry| Candidate {
                name: name.to_owned(),
                repository: Some(source.0.name().to_owned()),
                version: entry.version,
                path: entry.path,
                md5: entry.md5,
            }));
        }
        found.sort_by(|left, right| requirement::compare(&right.version, &left.version));
        Ok(found)
    }

    fn open(&self, candidates: &[Candidate]) -> Result<Vec<Result<Opened, String>>> {
        let open = |candidate: &Candidate| match candidate.repository {
            None => self.open_deb(candidate),
            Some(_) => self.open_file(candidate),
        };
        candidates.par_iter().map(open).collect()
    }
}

/// Returns the DESCRIPTION of the R package in a Debian package's files.
pub fn description(tree: &Tree, blobs: &BlobStore) -> Result<Option<String>> {
    let mut nodes = FOLDERS.iter().flat_map(|folder| tree.below(folder));
    let file = nodes.find(|(path, _)| path.as_str().matches('/').count() == 5 && path.file_name() == "DESCRIPTION");
    let content = file.and_then(|(_, node)| node.content());
    let read = |content| Ok(String::from_utf8_lossy(&pack::read(blobs, content)?).into_owned());
    content.map(read).transpose()
}

/// Returns how Debian may name the package of an R package.
pub fn debian_names(name: &str) -> [String; 2] {
    PREFIXES.map(|prefix| format!("{prefix}{}", name.to_ascii_lowercase()))
}

/// Whether a Debian package's name is that of an R package.
pub fn is_r_package(debian: &str) -> bool {
    PREFIXES.iter().any(|prefix| debian.starts_with(prefix))
}
