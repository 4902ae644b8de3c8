//! An image's whole file tree as a folder, and programs that run in it.

use std::path::Path;
use std::process::Command;

use mlpack::fetch::Home;
use mlpack::image::{Image, ImageStore};
use mlpack::sandbox::layers;

use super::scratch::Scratch;
use super::succeed;

/// Where a program of this machine is shown in the tree.
const EMULATOR: &str = "/tmp/emulator";

/// Lays an image out. Nobody may write to the tree: its files are those of the layers that `home` keeps.
pub fn lay_out(home: &Path, store: &ImageStore, image: &Image) -> Scratch {
    let root = Scratch::new();
    for layer in layers::layers(&Home::below(home), store, image).unwrap() {
        succeed(Command::new("cp").args(["--archive", "--link", "--force"]).arg(layer.join(".")).arg(&*root));
    }
    root
}

/// Returns a command that runs a program of the tree in it, with the tree read-only and without network; `emulator` is
/// the program of this machine that runs those of another processor.
pub fn command(root: &Path, emulator: Option<&str>, environment: &[(&str, &str)], program: &str) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--clearenv"]);
    for (name, value) in environment {
        command.args(["--setenv", name, value]);
    }
    command.arg("--ro-bind").arg(root).args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    if let Some(emulator) = emulator {
        command.args(["--ro-bind", emulator, EMULATOR, EMULATOR]);
    }
    command.arg(program);
    command
}
