//! What maintainer scripts would have done, as file trees: Debian's configuration step without running anything.
//!
//! Each kind of effect has a module: `alternatives`, `accounts`, `certificates`, `java`, `odbc`, `pixbuf`, and `files` for what the table
//! `scripts.toml` lists by package. `coverage` reports every line of a script that none of them stands for.
//! The loader's cache is not made here: it depends on more than Debian packages.

mod accounts;
mod alternatives;
mod base;
mod certificates;
mod coverage;
mod files;
mod installed;
mod java;
mod odbc;
mod pixbuf;
mod table;

use std::collections::BTreeSet;
use std::fmt;

use super::deb::Unpacked;
use crate::error::{Diagnose, Exit};
use crate::fetch::BlobStore;
use crate::fs;
use crate::layer::tree::{Node, PathError, Tree, TreePath};
use crate::lock::{self, Action};
use crate::platform::Platform;
use installed::Installed;

/// The name of the account that an image's program runs as.
pub const USER: &str = "mlpack";

/// What the result depends on beside the packages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform of the image.
    pub platform: Platform,
    /// The number of the account that the image's program runs as; its group has the same.
    pub user: u32,
    /// Whether a script with lines that nothing stands for is an error, and else a warning.
    pub denies_scripts: bool,
}

/// A configured system: what is to be laid below and above the packages.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// What every image has, whatever its packages: links of merged `/usr`, mount points, folders for temporary files.
    pub base: Tree,
    /// What the packages' scripts would have made. It has no path of a package.
    pub top: Tree,
    /// What was done in place of which script, sorted.
    pub actions: Vec<Action>,
    /// What scripts do that nothing stands for, sorted.
    pub warnings: Vec<Warning>,
}

/// Lines of a script that nothing stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The package.
    pub package: String,
    /// The script, such as `postinst`.
    pub script: String,
    /// Line numbers, from 1, and the lines.
    pub lines: Vec<(usize, String)>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.lines.len();
        let what = if count == 1 { "a line" } else { "lines" };
        write!(f, "the {} of `{}` has {what} that mlpack does not emulate:", self.script, self.package)?;
        self.lines.iter().try_for_each(|(number, line)| write!(f, "\n{number:>6}: {line}"))
    }
}

/// The packages cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// A package's file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Scripts do what nothing stands for, and that is not allowed.
    #[error("{}", warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Scripts {
        /// Which scripts, with their lines.
        warnings: Vec<Warning>,
    },
    /// A script names a path that may not stand in an image.
    #[error("the scripts of `{package}` name a path that cannot be in an image")]
    Path {
        /// The package.
        package: String,
        /// Which path.
        source: PathError,
    },
}

impl Diagnose for ConfigureError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Scripts { .. } => Exit::Resolution,
            Self::Path { .. } => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Scripts { warnings } => {
                let packages: BTreeSet<_> = warnings.iter().map(|warning| format!("`{}`", warning.package)).collect();
                let packages: Vec<_> = packages.into_iter().collect();
                vec![
                    format!("leave out {}, or what depends on it, or ask for another version", packages.join(" and ")),
                    "if your model does without what these lines do, set `system.scripts: allow`".to_owned(),
                ]
            }
            Self::Path { .. } => Vec::new(),
        }
    }
}

/// Returns what the packages' scripts would have made on a first installation. The order of `packages` does not matter.
pub fn configure(
    packages: &[(lock::Package, Unpacked)],
    store: &BlobStore,
    settings: &Settings,
) -> Result<Configured, ConfigureError> {
    let installed = Installed::new(packages, store);
    let mut configured = Configured { base: base::tree(), ..Configured::default() };
    files::apply(&installed, &mut configured)?;
    alternatives::apply(&installed, settings.platform, &mut configured)?;
    accounts::apply(&installed, settings, &mut configured)?;
    certificates::apply(&installed, &mut configured)?;
    java::apply(&installed, &mut configured)?;
    odbc::apply(&installed, &mut configured)?;
    pixbuf::apply(&installed, settings.platform, &mut configured)?;
    coverage::check(&installed, settings.platform, &mut configured);
    configured.base.add_parents();
    configured.actions.sort();
    configured.warnings.sort();
    if settings.denies_scripts && !configured.warnings.is_empty() {
        return Err(ConfigureError::Scripts { warnings: configured.warnings });
    }
    Ok(configured)
}

impl Configured {
    /// Adds a path to the upper tree, unless a package has it: scripts leave such paths alone.
    fn add(&mut self, installed: &Installed<'_>, path: TreePath, node: Node) {
        if installed.get(path.as_str()).is_none() {
            self.top.insert(path, node);
        }
    }

    fn done(&mut self, package: &str, does: impl Into<String>) {
        self.actions.push(Action { package: package.to_owned(), does: does.into() });
    }
}

/// Returns a path that a script names, moved to its place in the merged tree.
fn place(package: &str, path: &str) -> Result<TreePath, ConfigureError> {
    let wrap = |source| ConfigureError::Path { package: package.to_owned(), source };
    let path = TreePath::new(path).map_err(wrap)?;
    TreePath::new(&super::deb::usrmerge::canonical(path.as_str())).map_err(wrap)
}

#[cfg(test)]
mod tests;
