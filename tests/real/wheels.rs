//! Wheels that need libraries of the system import in the tree that mlpack makes, with no system package named.
//!
//! These are the small ones; `benches/wheels.sh` has the other groups.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::process::free_port;
use crate::support::project::tiny;
use crate::support::scratch::Scratch;
use crate::support::{configure, mlpack, succeed};

/// Locks and serves a group of `benches/wheels.tsv`, and returns the folder with what the script found.
fn import(group: &str, python: &str) -> Scratch {
    let folder = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/wheels.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg(group).arg(&*folder);
    command.env("MLPACK", env!("CARGO_BIN_EXE_mlpack")).env("PORT", free_port().to_string()).env("PYTHON", python);
    configure(&mut command, tiny().home());
    succeed(&mut command);
    folder
}

fn assert_imported(folder: &Path) {
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    let outcomes = report.as_object().unwrap();
    assert_eq!(outcomes.len(), fs::read_to_string(folder.join("modules.txt")).unwrap().lines().count());
    for (module, outcome) in outcomes {
        assert_eq!(outcome, "ok", "{module}:\n{}", fs::read_to_string(folder.join("locked.txt")).unwrap());
    }
}

#[test]
fn wheels_import_on_bookworm_and_each_library_has_its_reason() {
    let folder = import("small", "3.11");
    assert_imported(&folder);
    let why = |name: &str| succeed(mlpack(tiny().home()).arg("why").arg(name).arg(folder.join("manifest.yaml"))).stdout;
    let chain = why("libmagic-mgc");
    for part in ["the manifest asks for wheel python-magic", "needs libmagic.so.1, which is in libmagic1", "depends on"]
    {
        assert!(chain.contains(part), "{chain}");
    }
    assert!(why("/usr/lib/x86_64-linux-gnu/libgomp.so.1").starts_with("libgomp1 "));
    assert!(fs::read_to_string(folder.join("locked.txt")).unwrap().contains("`tdsodbc` or `odbc-postgresql`"));
}

#[test]
fn wheels_import_on_trixie() {
    assert_imported(&import("small", "3.13"));
}
