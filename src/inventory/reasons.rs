//! The file in an image that says what each package is there for, so that an image explains itself without its lock.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lock::{Package, PlatformLock};
use crate::resolve::owner;
use crate::resolve::why::{self, Link};

/// Where it is.
pub const FILE: &str = "opt/mlpack/packages.json";

/// What a package is in the image for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Who asked for it, where somebody did: `manifest`, `runtime` or `base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// What leads to it otherwise, from what was asked for on: `wheel:scikit-learn`, `wheel:scipy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The library that the last of the chain needs of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |name: &String| name.split_once(':').map_or(name.clone(), |(_, name)| name.to_owned());
        let chain: Vec<_> = self.chain.iter().map(bare).collect();
        f.write_str(&chain.join(" › "))?;
        match (&self.asked_by, &self.library) {
            (Some(asked_by), _) => f.write_str(asked_by),
            (None, Some(library)) => write!(f, " ({library})"),
            (None, None) => Ok(()),
        }
    }
}

/// Returns the file's bytes for a lock.
pub fn write(lock: &PlatformLock) -> Vec<u8> {
    let reasons: BTreeMap<_, _> = lock.packages.iter().map(|package| (owner(package), reason(lock, package))).collect();
    let mut bytes = serde_json::to_vec_pretty(&reasons).expect("reasons are plain data, which JSON can hold");
    bytes.push(b'\n');
    bytes
}

/// Reads the file: reasons by package, as `deb:libc6`. One of another form says nothing.
pub(super) fn read(bytes: &[u8]) -> BTreeMap<String, Reason> {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn reason(lock: &PlatformLock, package: &Package) -> Reason {
    let mut steps = why::chain(lock, package);
    let Some(last) = steps.pop() else { return Reason::default() };
    let library = match last.link {
        Some(Link::Library(soname)) => Some(soname),
        _ => None,
    };
    Reason { asked_by: last.asked_by, chain: steps.into_iter().map(|step| step.name).collect(), library }
}
