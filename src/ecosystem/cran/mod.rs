//! R packages: what a manifest asks for, in R's own words, and who has it.
//!
//! [`requirement`] reads a line such as `ranger>=0.14`, [`description`] a DESCRIPTION file, [`renv`] a `renv.lock`.
//! [`binary`] finds the packages in the Debian archive, which has some 1,100 of CRAN's and Bioconductor's as binaries. What
//! they need in turn is read from their own DESCRIPTION, not from Debian's `Depends`: those name headers and tools that only
//! building needs.
//!
//! Packages that Debian lacks, or has in another version, are an error so far. A CRAN snapshot and building from source
//! belong here, behind [`resolve`].

pub mod binary;
pub mod description;
mod error;
pub mod renv;
pub mod requirement;

use crate::error::Result;
use crate::fs;
use crate::lock::Package;
use crate::manifest::Packages;
pub use binary::Library;
pub use description::Description;
pub use error::{CranError, Problem, Unreadable};
pub use requirement::Requirement;

/// Chooses the R packages that a manifest asks for, with all that they need, sorted by name.
pub fn resolve(packages: &Packages, library: &dyn Library) -> Result<Vec<Package>> {
    binary::resolve(library, requirements(packages)?)
}

/// Reads what a manifest asks for.
fn requirements(packages: &Packages) -> Result<Vec<Requirement>> {
    let path = match packages {
        Packages::None => return Ok(Vec::new()),
        Packages::List(lines) => return Ok(lines.iter().map(|line| line.parse()).collect::<Result<_, CranError>>()?),
        Packages::File(path) => path,
    };
    let text = fs::read_to_string(path)?;
    let read = if path.extension().is_some_and(|extension| extension == "lock") {
        renv::read(&text)
    } else {
        Description::parse(&text).and_then(|description| description.needs())
    };
    Ok(read.map_err(|source| CranError::File { path: path.clone(), source })?)
}
