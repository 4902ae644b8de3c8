//! What to run, and in which file tree: plain data, handed from mlpack to the processes that set the sandbox up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::layer::tree::TreePath;

/// The file tree that a program sees as `/`. All of it is read-only, except for writable binds, `/tmp` and `/run`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Root {
    /// Laid-out trees, lowest first: a path of a later one hides the same path of an earlier one. At most 400.
    pub layers: Vec<PathBuf>,
    /// Files and folders of this machine shown on top, in the order in which they are mounted.
    pub binds: Vec<Bind>,
}

/// A file or folder of this machine, shown inside the root.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// Where it is on this machine. What is mounted below a folder is not shown.
    pub host: PathBuf,
    /// Where the program sees it. A path that no layer has is created.
    pub target: TreePath,
    /// Whether the program may change it.
    pub writable: bool,
}

/// Bounds of what one process of the program may use; without a value, mlpack's own bound stays.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
}

/// A program to run in a [`Root`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// What it sees as `/`.
    pub root: Root,
    /// The program's absolute path inside the root.
    pub program: String,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Its whole environment: nothing of mlpack's own is added.
    pub environment: BTreeMap<String, String>,
    /// Its working folder inside the root.
    pub directory: String,
    /// The user number that it runs as, inside. Outside it is the user who runs mlpack.
    pub uid: u32,
    /// The group number that it runs as, inside.
    pub gid: u32,
    /// Its host name.
    pub hostname: String,
    /// Whether it has this machine's network; without, it has none at all.
    pub network: bool,
    /// What it may use.
    pub limits: Limits,
    /// The program that understands [`super::enter`]: mlpack itself.
    #[serde(skip, default = "this_program")]
    pub entrance: PathBuf,
}

impl Spec {
    /// Returns the run of `program` as user 10001 in `/`, with an empty environment, without arguments or network.
    pub fn new(root: Root, program: impl Into<String>) -> Self {
        Self {
            root,
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            directory: "/".to_owned(),
            uid: 10001,
            gid: 10001,
            hostname: "mlpack".to_owned(),
            network: false,
            limits: Limits::default(),
            entrance: this_program(),
        }
    }
}

fn this_program() -> PathBuf {
    "/proc/self/exe".into()
}
