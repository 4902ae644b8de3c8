//! The layer of compiled Python modules: the image's own interpreter compiles them, in the sandbox, without network.

use super::Inputs;
use crate::ecosystem::pypi::Python;
use crate::ecosystem::pypi::bytecode::{self, FORMAT};
use crate::error::{Diagnose, Exit, Result};
use crate::fetch::derived::Derived;
use crate::fs;
use crate::layer::tree::{Kind, Source, Tree, TreePath};
use crate::lock::{PackageKind, PlatformLock};
use crate::platform::Platform;
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

/// Returns the compiled modules of everything in `whole`; `None` for a runtime that has none, or another platform's.
///
/// An image for a processor that this machine cannot run goes without: it is warned of, and the lock's digest says so.
pub(super) fn compile(inputs: &Inputs<'_>, lock: &PlatformLock, whole: Tree) -> Result<Option<Tree>> {
    let worlds = inputs.worlds;
    if inputs.runtime.language != "python" {
        return Ok(None);
    }
    if Platform::host() != Some(worlds.platform()) {
        let message = format!("the image for {} goes without compiled Python modules", worlds.platform());
        worlds.report().warn(message, Some("build it on such a machine for a faster start".to_owned()));
        return Ok(None);
    }
    let key = Derived::key("bytecode", &(FORMAT, crate::layer::FORMAT, &inputs.runtime.version, sources(inputs, lock)));
    if let Some(tree) = worlds.derived().get::<Tree>(&key).filter(|tree| is_there(inputs, tree)) {
        return Ok(Some(tree));
    }
    worlds.report().say("Compiling Python modules");
    let tree = run(inputs, whole)?;
    worlds.derived().put(&key, &tree)?;
    Ok(Some(tree))
}

/// The digests of the interpreter and of everything that may be compiled.
fn sources<'a>(inputs: &Inputs<'_>, lock: &'a PlatformLock) -> Vec<&'a crate::digest::Digest> {
    let counts = |package: &&crate::lock::Package| {
        package.kind == PackageKind::Wheel
            || inputs.runtime.packages.contains(&package.name)
            || package.path.contains("/python")
    };
    lock.packages.iter().filter(counts).map(|package| &package.sha256).collect()
}

fn is_there(inputs: &Inputs<'_>, tree: &Tree) -> bool {
    let pack = tree.iter().find_map(|(_, node)| match node.content()?.source {
        Source::Pack { pack, .. } => Some(pack),
        _ => None,
    });
    pack.is_none_or(|pack| inputs.worlds.blobs().has(&pack))
}

fn run(inputs: &Inputs<'_>, mut whole: Tree) -> Result<Tree> {
    let worlds = inputs.worlds;
    let python: Python = inputs.runtime.version.parse()?;
    let modules = bytecode::plan(&whole, &python);
    // Compiling reads sources alone: the packages' libraries need not be written to disk for it.
    let site = python.site();
    whole.retain(|path, node| {
        !path.is_below(&site) || matches!(node.kind, Kind::Directory) || path.as_str().ends_with(".py")
    });
    let folder = tempfile::Builder::new()
        .prefix("bytecode-")
        .tempdir_in(worlds.blobs().root().join("tmp"))
        .map_err(fs::Error::wrap("create a folder in", worlds.blobs().root()))?;
    let (root, output) = (folder.path().join("root"), folder.path().join("output"));
    fs::create_dir_all(&output)?;
    sandbox::layout::layout(worlds.blobs(), &whole, &root)?;
    let processes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let job = bytecode::job(&modules, &python, &format!("/{OUTPUT}"), processes);
    let target = TreePath::new(OUTPUT)?;
    let binds = vec![Bind { host: output.clone(), target, writable: true }];
    execute(Root { layers: vec![root], binds }, job, folder.path())?;
    Ok(bytecode::collect(worlds.blobs(), &output, &modules, &python)?)
}

/// Runs the job; its input and what it prints go through files, so that neither side can block the other.
fn execute(root: Root, job: bytecode::Job, folder: &std::path::Path) -> Result<()> {
    let (input, printed) = (folder.join("input"), folder.join("printed"));
    fs::write_atomic(&input, &job.stdin)?;
    let log = std::fs::File::create(&printed).map_err(fs::Error::wrap("create", &printed))?;
    let errors = log.try_clone().map_err(fs::Error::wrap("open", &printed))?;
    let mut spec = Spec::new(root, &job.command[0]);
    spec.arguments = job.command[1..].to_vec();
    spec.environment = job.environment;
    spec.network = false;
    let streams = Streams { stdin: fs::open(&input)?.into(), stdout: log.into(), stderr: errors.into() };
    let status = sandbox::spawn(&spec, streams)?.wait()?;
    if status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&fs::read(&printed)?).into_owned();
    let end = output.char_indices().rev().nth(2000).map_or(0, |(index, _)| index);
    Err(CompileError::Failed { status: status.to_string(), output: output[end..].to_owned() }.into())
}
