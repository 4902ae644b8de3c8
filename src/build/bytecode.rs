//! The layer of compiled Python modules: the image's own interpreter compiles them, in the sandbox, without network.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Inputs;
use crate::digest::Digest;
use crate::ecosystem::Unpacked;
use crate::ecosystem::pypi::Python;
use crate::ecosystem::pypi::bytecode;
use crate::elf::Closure;
use crate::error::{Diagnose, Exit, Result};
use crate::fs;
use crate::layer::tree::{Kind, Tree, TreePath};
use crate::lock::PackageKind;
use crate::platform::Platform;
use crate::resolve;
use crate::sandbox::{self, Bind, Root, Spec, Streams};

/// Where the compiled modules are written, as the interpreter sees it.
const OUTPUT: &str = "mlpack-output";

/// The interpreter could not compile.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompileError {
    /// It ended with an error.
    #[error("compiling Python modules failed with {status}: {output}")]
    Failed {
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
}

impl Diagnose for CompileError {
    fn exit(&self) -> Exit {
        Exit::CannotRun
    }
}

/// Returns the compiled modules of all packages; `None` for a runtime that has none, or another platform's.
///
/// `whole` is the tree of the image so far. Each package's modules are compiled once on a machine, and remembered. An
/// image for a processor that this machine cannot run goes without: it is warned of.
pub(super) fn compile(inputs: &Inputs<'_>, unpacked: &[Unpacked], whole: Tree) -> Result<Option<Tree>> {
    let worlds = inputs.worlds;
    if inputs.runtime.language != "python" {
        return Ok(None);
    }
    if Platform::host() != Some(worlds.platform()) {
        let message = format!("the image for {} goes without compiled Python modules", worlds.platform());
        worlds.report().warn(message, Some("build it on such a machine for a faster start".to_owned()));
        return Ok(None);
    }
    let python: Python = inputs.runtime.version.parse()?;
    let interpreter = unpacked.iter().filter(|unpacked| is_interpreter(inputs, unpacked));
    let interpreter: Vec<_> = interpreter.map(|unpacked| unpacked.package.sha256).collect();
    let (mut compiled, mut waiting) = (Tree::new(), Vec::new());
    for package in unpacked {
        let mut modules = bytecode::plan(&package.tree, &python);
        // Of a module that several packages bring, the image has one.
        modules.retain(|path| content(&whole, path) == content(&package.tree, path));
        let key = bytecode::key(&package.package.sha256, &modules, &interpreter);
        match bytecode::recall(worlds.derived(), worlds.blobs(), &key)? {
            _ if modules.is_empty() => {}
            Some(tree) => compiled.merge(tree)?,
            None => waiting.push((key, modules)),
        }
    }
    if !waiting.is_empty() {
        worlds.report().say("Compiling Python modules");
        let read = what_is_read(inputs, unpacked, &waiting, whole)?;
        compiled.merge(run(inputs, &python, &waiting, &read)?)?;
    }
    Ok(Some(compiled))
}

fn content(tree: &Tree, path: &TreePath) -> Option<Digest> {
    tree.get(path.as_str())?.content().map(|content| content.digest)
}

fn is_interpreter(inputs: &Inputs<'_>, unpacked: &Unpacked) -> bool {
    inputs.runtime.packages.contains(&unpacked.package.name)
}

/// Returns what of the tree `whole` compiling reads: the modules, and the interpreter with the libraries that its objects
/// reach. All else need not be written to disk for it.
fn what_is_read(
    inputs: &Inputs<'_>,
    unpacked: &[Unpacked],
    waiting: &[(Digest, Vec<TreePath>)],
    mut whole: Tree,
) -> Result<Tree> {
    let mut closure = Closure::new(inputs.worlds.platform());
    let mut read: HashSet<TreePath> = waiting.iter().flat_map(|(_, modules)| modules.iter().cloned()).collect();
    for package in unpacked.iter().filter(|unpacked| unpacked.package.kind == PackageKind::Deb) {
        let (owner, objects) = (resolve::owner(&package.package), inputs.worlds.scan(&package.tree)?);
        if is_interpreter(inputs, package) {
            read.extend(package.tree.iter().map(|(path, _)| path.clone()));
            closure.add(&owner, objects, &package.tree);
        } else {
            closure.add_provider(&owner, objects, &package.tree);
        }
    }
    read.extend(closure.resolve().reached.into_iter().map(|(_, path)| path));
    whole.retain(|path, node| !matches!(node.kind, Kind::File(_)) || read.contains(path) || path.is_below("etc"));
    Ok(whole)
}

/// Compiles modules, remembers those of each package under its key, and returns them all.
fn run(inputs: &Inputs<'_>, python: &Python, waiting: &[(Digest, Vec<TreePath>)], read: &Tree) -> Result<Tree> {
    let worlds = inputs.worlds;
    let folder = tempfile::Builder::new()
        .prefix("bytecode-")
        .tempdir_in(worlds.blobs().root().join("tmp"))
        .map_err(fs::Error::wrap("create a folder in", worlds.blobs().root()))?;
    let (root, output) = (folder.path().join("root"), folder.path().join("output"));
    fs::create_dir_all(&output)?;
    sandbox::layout::layout(worlds.blobs(), read, &root)?;
    let processes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let modules: Vec<_> = waiting.iter().flat_map(|(_, modules)| modules.clone()).collect();
    let job = bytecode::job(&modules, python, &format!("/{OUTPUT}"), processes);
    let binds = vec![Bind { host: output.clone(), target: TreePath::new(OUTPUT)?, writable: true }];
    execute(Root { layers: vec![root.clone()], binds }, job, folder.path())?;
    let mut compiled = Tree::new();
    for (key, modules) in waiting {
        let tree = bytecode::collect(worlds.blobs(), &output, modules, python)?;
        bytecode::remember(worlds.derived(), key, &tree)?;
        compiled.merge(tree)?;
    }
    // The laid-out folders may be read-only, which a temporary folder does not expect when it goes.
    fs::remove_tree(&root)?;
    Ok(compiled)
}

/// Runs the job; its input and what it prints go through files, so that neither side can block the other.
///
/// What it prints stays in memory: it must be there to be read where the disk is full.
fn execute(root: Root, job: bytecode::Job, folder: &std::path::Path) -> Result<()> {
    let input = folder.join("input");
    fs::write_cache(&input, &job.stdin)?;
    let failed = |error: nix::Error| fs::Error::wrap("keep what is printed for", folder)(error.into());
    let mut printed = File::from(memfd_create(c"printed", MFdFlags::MFD_CLOEXEC).map_err(failed)?);
    let copy = || printed.try_clone().map_err(fs::Error::wrap("keep what is printed for", folder));
    let (log, errors) = (copy()?, copy()?);
    let mut spec = Spec::new(root, &job.command[0]);
    spec.arguments = job.command[1..].to_vec();
    spec.environment = job.environment;
    spec.network = false;
    let streams = Streams { stdin: fs::open(&input)?.into(), stdout: log.into(), stderr: errors.into() };
    let status = sandbox::spawn(&spec, streams)?.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut output = Vec::new();
    printed
        .rewind()
        .and_then(|()| printed.read_to_end(&mut output))
        .map_err(fs::Error::wrap("read what was printed for", folder))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    let end = output.char_indices().rev().nth(2000).map_or(0, |(index, _)| index);
    // Python gives the operating system's reason by number: here, no space left on the device.
    if output.contains("[Errno 28]") {
        let source = std::io::ErrorKind::StorageFull.into();
        return Err(fs::Error { action: "write compiled modules below", path: folder.to_owned(), source }.into());
    }
    Err(CompileError::Failed { status: status.to_string(), output: output[end..].to_owned() }.into())
}
