//! Compiles one package in the sandbox, or takes its files from the cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use super::error::CompileError;
use super::failure;
use super::plan::{Job, Plan};
use super::tree::Trees;
use crate::digest::Digest;
use crate::ecosystem::Worlds;
use crate::ecosystem::cran::{LIBRARY, install, package};
use crate::error::{Error, Result};
use crate::fetch::derived::Derived;
use crate::fetch::pack;
use crate::fs;
use crate::layer::tree::{Tree, TreePath};
use crate::sandbox::{self, Bind, Root, Spec, Streams};

/// A compiled package.
#[derive(Clone, Debug)]
pub(super) struct Built {
    /// Its files, where images have them.
    pub tree: Tree,
    /// The digest of the tree.
    pub digest: Digest,
}

/// Compiles one package; `done` has those that it needs.
pub(super) fn compile(
    worlds: &Worlds,
    trees: &Trees<'_>,
    plan: &Plan,
    job: &Job,
    done: &BTreeMap<String, Built>,
) -> Result<Built, CompileError> {
    let needed = needed(worlds, plan, job, done)?;
    let digests: Vec<_> = needed.iter().map(|(name, built)| (name, built.digest)).collect();
    let name = &job.package.name;
    let inputs = (install::FORMAT, worlds.platform(), name, job.package.sha256, trees.digest(name), digests);
    let key = Derived::key("r-compiled", &inputs);
    let known = worlds.derived().get::<Tree>(&key);
    if let Some(tree) = known
        && pack::is_whole(worlds.blobs(), &tree).map_err(Error::from)?
    {
        return Ok(built(tree));
    }
    worlds.report().say(format!("Compiling {name} {}", job.package.version));
    let tree = Workshop::open(worlds, trees, job, &needed)?.run()?;
    worlds.derived().put(&key, &tree).map_err(Error::from)?;
    Ok(built(tree))
}

fn built(tree: Tree) -> Built {
    Built { digest: package::digest(&tree), tree }
}

/// Returns the packages of repositories that must be installed.
fn needed(worlds: &Worlds, plan: &Plan, job: &Job, done: &BTreeMap<String, Built>) -> Result<BTreeMap<String, Built>> {
    let mut needed = BTreeMap::new();
    for name in &job.repository {
        let one = match plan.binaries.get(name) {
            Some(package) => built(worlds.unpack(std::slice::from_ref(package))?.remove(0).tree),
            None => done[name].clone(),
        };
        needed.insert(name.clone(), one);
    }
    Ok(needed)
}

/// The folders of one compilation.
struct Workshop<'a> {
    worlds: &'a Worlds,
    job: &'a Job,
    root: Root,
    /// Goes when the compilation is over.
    folder: tempfile::TempDir,
    /// Where the compilers' output is kept.
    log: PathBuf,
}

impl<'a> Workshop<'a> {
    fn open(worlds: &'a Worlds, trees: &Trees<'_>, job: &'a Job, needed: &BTreeMap<String, Built>) -> Result<Self> {
        let parent = worlds.blobs().root().join("tmp");
        let folder = tempfile::Builder::new()
            .prefix("compile-")
            .tempdir_in(&parent)
            .map_err(fs::Error::wrap("create a folder in", &parent))?;
        let (work, library) = (folder.path().join("work"), folder.path().join("library"));
        fs::create_dir_all(&work)?;
        fs::create_dir_all(&library)?;
        let source = worlds.fetch(std::slice::from_ref(&job.package))?.remove(0);
        std::fs::copy(source.path(), work.join(install::SOURCE)).map_err(fs::Error::wrap("copy", source.path()))?;
        fs::write_atomic(&work.join("Makevars"), install::makevars().as_bytes())?;
        let mut binds = vec![
            Bind { host: work, target: TreePath::new(install::FOLDER)?, writable: true },
            Bind { host: library, target: TreePath::new(LIBRARY)?, writable: true },
        ];
        // Each where images have it: what is compiled may keep the path.
        for (name, built) in needed {
            let place = format!("{LIBRARY}/{name}");
            let host = worlds.lay_out(&built.digest, &built.tree)?.join(&place);
            binds.push(Bind { host, target: TreePath::new(&place)?, writable: false });
        }
        let root = Root { layers: trees.lay_out(&job.package.name)?, binds };
        let log = worlds.logs().join(format!("{}_{}.log", job.package.name, job.package.version));
        Ok(Self { worlds, job, root, folder, log })
    }

    fn run(self) -> Result<Tree, CompileError> {
        let name = &self.job.package.name;
        let succeeded = self.execute()?;
        // Another run with the same home may compile the same package: the log that is judged is this one's own.
        let written = self.output();
        let output = std::fs::read(&written).map_err(fs::Error::wrap("read", &written)).map_err(Error::from)?;
        fs::create_dir_all(&self.worlds.logs()).map_err(Error::from)?;
        fs::write_atomic(&self.log, &output).map_err(Error::from)?;
        let output = String::from_utf8_lossy(&output);
        // Unpacked sources may be read-only, which a temporary folder does not expect when it goes.
        fs::remove_tree(&self.folder.path().join("work")).map_err(Error::from)?;
        let native = failure::native(&output);
        if !succeeded || native.is_some() {
            let failures = vec![failure::of(&self.job.package, &output, native, &self.log)];
            return Err(CompileError::Failed { failures });
        }
        let library = self.folder.path().join("library");
        Ok(package::collect(name, &library.join(name), self.worlds.blobs())?)
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Runs R, and says whether it succeeded.
    fn execute(&self) -> Result<bool> {
        let path = self.output();
        let output = File::create(&path).map_err(fs::Error::wrap("create", &path))?;
        let errors = output.try_clone().map_err(fs::Error::wrap("open", &path))?;
        let command = install::command(&self.job.package.name);
        let mut spec = Spec::new(self.root.clone(), &command[0]);
        spec.arguments = command[1..].to_vec();
        spec.environment = install::environment(processes());
        spec.directory = format!("/{}", install::FOLDER);
        let streams = Streams { stdin: Stdio::null(), stdout: output.into(), stderr: errors.into() };
        Ok(sandbox::spawn(&spec, streams)?.wait()?.success())
    }
}

/// How many compilers run at a time, in one package and for several.
pub(super) fn processes() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
