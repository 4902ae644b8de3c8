//! R packages: what a manifest asks for, in R's own words, and who has it.
//!
//! [`requirement`] reads a line such as `ranger>=0.14`, [`description`] a DESCRIPTION file, [`renv`] a `renv.lock`.
//! [`resolve`] chooses, for each package, Debian's binary where its version will do, else the file that a [`repository`]
//! has: [`package`] tells a binary from a source. [`library`] brings the two together, [`world`] gives the files of what was
//! chosen. What a package needs is read from its own DESCRIPTION, not from Debian's `Depends`: those name headers and tools
//! that only building needs.
//!
//! Sources are compiled elsewhere, see `compile`; [`install`] says with which command, and [`system`] with which of
//! Debian's packages.

pub mod description;
mod error;
pub mod install;
pub mod library;
pub mod package;
pub mod renv;
pub mod repository;
pub mod requirement;
pub mod resolve;
pub mod system;
pub mod world;

use crate::error::Result;
use crate::fs;
use crate::lock::{Package, PackageKind};
use crate::manifest::Packages;
pub use description::Description;
pub use error::{CranError, Problem, Unreadable};
pub use library::Library;
pub use repository::Repository;
pub use requirement::Requirement;
pub use resolve::{Resolution, resolve};
pub use world::RPackages;

/// Where images have the R packages that are not Debian's: the first folder that Debian's R looks into.
pub const LIBRARY: &str = "usr/local/lib/R/site-library";

/// Something that a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The package.
    pub requirement: Requirement,
    /// Where it is from, in renv's words such as `GitHub`, if that is neither CRAN nor Bioconductor: then only a repository
    /// that has just this version will do.
    pub origin: Option<String>,
}

/// Reads what a manifest asks for.
pub fn wanted(packages: &Packages) -> Result<Vec<Wanted>> {
    let plain = |requirement| Wanted { requirement, origin: None };
    let path = match packages {
        Packages::None => return Ok(Vec::new()),
        Packages::List(lines) => {
            return Ok(lines.iter().map(|line| Ok(plain(line.parse()?))).collect::<Result<_, CranError>>()?);
        }
        Packages::File(path) => path,
    };
    let text = fs::read_to_string(path)?;
    let read = if is_renv(packages) {
        renv::packages(&text)
    } else {
        let needs = Description::parse(&text).and_then(|description| description.needs());
        needs.map(|needs| needs.into_iter().map(plain).collect())
    };
    Ok(read.map_err(|source| CranError::List { path: path.clone(), source })?)
}

/// Reads the repositories that the manifest's list of packages names: those of a renv.lock.
pub fn listed_repositories(packages: &Packages) -> Result<Vec<(String, String)>> {
    let Packages::File(path) = packages else { return Ok(Vec::new()) };
    if !is_renv(packages) {
        return Ok(Vec::new());
    }
    let listed = renv::repositories(&fs::read_to_string(path)?);
    Ok(listed.map_err(|source| CranError::List { path: path.clone(), source })?)
}

fn is_renv(packages: &Packages) -> bool {
    matches!(packages, Packages::File(path) if path.extension().is_some_and(|extension| extension == "lock"))
}

/// Whether a repository's R package takes the place of a Debian package.
pub fn stands_for(package: &Package, debian: &str) -> bool {
    package.kind == PackageKind::R && library::debian_names(&package.name).iter().any(|name| name == debian)
}

/// Returns the version of R itself in a version of Debian's `r-base-core`: 4.2.2.20221110 for 4.2.2.20221110-2.
pub fn upstream(version: &str) -> &str {
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    version.split(['+', '~']).next().unwrap_or(version)
}
