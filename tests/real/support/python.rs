//! Programs from the Python index, in virtual environments that later runs find again.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::succeed;

/// Installs packages into an environment of their own, and returns its folder of programs.
pub fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("environment-{name}"));
    let programs = folder.join("bin");
    if !programs.join("pip").exists() {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    }
    let mut pip = Command::new(programs.join("pip"));
    succeed(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages));
    programs
}
