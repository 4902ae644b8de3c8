//! Compiled Python modules: which ones an image gets, the program that compiles them, and their canonical form.
//!
//! Importing without compiled modules is two to four times slower, and the image is read-only. The compiler is the
//! image's own interpreter, run in the sandbox with [`job`]; what it writes is read back by [`collect`], made canonical
//! by [`marshal`], and becomes a tree. Nothing here runs a program.

pub mod marshal;

use std::collections::BTreeMap;
use std::path::Path;

use marshal::MarshalError;

use super::{Python, cache};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::BlobStore;
use crate::fetch::derived::Derived;
use crate::fetch::pack::PackWriter;
use crate::fs;
use crate::layer::tree::{Kind, Node, PathError, Tree, TreePath};

/// Raised whenever the same sources would give other compiled bytes; part of every cache key.
pub const FORMAT: u32 = 1;

const COMPILE: &str = include_str!("compile.py");

/// No compiled module is larger; the largest known ones have some megabytes.
const MAX_COMPILED: u64 = 256 << 20;

/// Folders of the standard library that no model imports.
const UNUSED: [&str; 6] = ["ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"];

/// Compiled modules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BytecodeError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The compiler wrote something else than a compiled module.
    #[error("the compiled form of `{module}` is not usable")]
    Marshal {
        /// The module's source file in the image.
        module: TreePath,
        /// What is wrong with it.
        source: MarshalError,
    },
    /// The compiler wrote something that is no regular file, or too large.
    #[error("the compiled form of `{module}` is not a regular file of at most {MAX_COMPILED} bytes")]
    Kind {
        /// The module's source file in the image.
        module: TreePath,
    },
    /// A path cannot stand in an image.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Diagnose for BytecodeError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            _ => Exit::CannotRun,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// What is to be run inside the image's tree to compile modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The interpreter and its arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// Standard input.
    pub stdin: Vec<u8>,
}

/// Returns the modules of an image that are worth compiling: installed ones and the standard library, without tests.
pub fn plan(tree: &Tree, python: &Python) -> Vec<TreePath> {
    let standard = format!("usr/lib/python{}", python.version());
    let folders = [python.site(), "usr/lib/python3/dist-packages".to_owned(), standard];
    let is_wanted = |folder: &str, path: &TreePath| {
        let below = path.as_str().strip_prefix(folder).unwrap_or_default();
        let mut parts = below.split('/').filter(|part| !part.is_empty());
        let unused = folder == folders[2] && parts.clone().next().is_some_and(|top| UNUSED.contains(&top));
        is_module(path) && !unused && !parts.any(|part| matches!(part, "test" | "tests"))
    };
    let mut modules: Vec<_> = folders
        .iter()
        .flat_map(|folder| tree.below(folder).filter(|(path, _)| is_wanted(folder, path)))
        .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
        .map(|(path, _)| path.clone())
        .collect();
    modules.sort();
    modules
}

fn is_module(path: &TreePath) -> bool {
    Path::new(path.as_str()).extension().is_some_and(|extension| extension == "py")
}

/// Returns how to compile `modules` with the image's interpreter.
///
/// `output` is the folder, as seen inside the tree, that receives the compiled modules; it must exist and be writable.
/// Standard output gets one line, `path<TAB>error`, for each module that does not compile: that is no failure.
pub fn job(modules: &[TreePath], python: &Python, output: &str, processes: usize) -> Job {
    let flags = ["-S", "-B", "-P", "-W", "ignore", "-c", COMPILE];
    let command = [python.interpreter()].into_iter().chain(flags.map(str::to_owned));
    let arguments = [output.trim_end_matches('/').to_owned(), processes.max(1).to_string()];
    let variables = [("PYTHONHASHSEED", "0"), ("LC_ALL", "C.UTF-8")];
    Job {
        command: command.chain(arguments).collect(),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        stdin: modules.iter().fold(String::new(), |text, path| text + "/" + path.as_str() + "\n").into_bytes(),
    }
}

/// Returns the key under which a package's compiled modules are remembered.
///
/// `package` is the digest of the package's file, `modules` those of its modules that are compiled, and `interpreter` the
/// digests of the packages that hold the interpreter.
pub fn key(package: &Digest, modules: &[TreePath], interpreter: &[Digest]) -> Digest {
    Derived::key("bytecode", &(FORMAT, package, modules, interpreter))
}

/// Returns the compiled modules remembered under [`key`], where they are known and undamaged.
pub fn recall(derived: &Derived, store: &BlobStore, key: &Digest) -> fs::Result<Option<Tree>> {
    cache::get(derived, store, key)
}

/// Remembers what [`collect`] gave.
pub fn remember(derived: &Derived, key: &Digest, tree: &Tree) -> fs::Result<()> {
    derived.put(key, tree)
}

/// Returns where the compiled form of a module lies in the image.
pub fn compiled_path(module: &TreePath, python: &Python) -> Result<TreePath, PathError> {
    let folder = module.parent().map(|parent| format!("{parent}/")).unwrap_or_default();
    let stem = module.file_name().strip_suffix(".py").unwrap_or(module.file_name());
    TreePath::new(&format!("{folder}__pycache__/{stem}.{}.pyc", python.cache_tag()))
}

/// Reads the compiled modules below `output`, the [`job`]'s folder as seen from outside, into a tree.
///
/// Modules that did not compile are left out. Only the expected files are looked at.
pub fn collect(store: &BlobStore, output: &Path, modules: &[TreePath], python: &Python) -> Result<Tree, BytecodeError> {
    let mut pack = PackWriter::new(store)?;
    for module in modules {
        let path = compiled_path(module, python)?;
        let Some(compiled) = read_compiled(&output.join(path.as_str()), module)? else { continue };
        let bytes = marshal::canonical(&compiled)
            .map_err(|source| BytecodeError::Marshal { module: module.clone(), source })?;
        let attributes = Node { mode: 0o644, ..Node::directory() };
        pack.add_file(path, attributes, &mut &bytes[..]).map_err(fs::Error::wrap("write", store.root()))?;
    }
    let mut tree = pack.finish()?;
    tree.add_parents();
    Ok(tree)
}

fn read_compiled(file: &Path, module: &TreePath) -> Result<Option<Vec<u8>>, BytecodeError> {
    match std::fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_COMPILED => Ok(Some(fs::read(file)?)),
        Ok(_) => Err(BytecodeError::Kind { module: module.clone() }),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(fs::Error { action: "look at", path: file.to_owned(), source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::pack;
    use crate::layer::tree::{Content, Source};

    fn python() -> Python {
        "3.11".parse().unwrap()
    }

    fn tree(paths: &[&str]) -> Tree {
        paths.iter().map(|path| (TreePath::new(path).unwrap(), Node::file(Content::inline(*b""), 0o644))).collect()
    }

    #[test]
    fn tests_and_what_no_model_imports_stay_uncompiled() {
        let mut tree = tree(&[
            "usr/lib/python3.11/json/__init__.py",
            "usr/lib/python3.11/idlelib/run.py",
            "usr/lib/python3.11/test/support.py",
            "usr/lib/python3.13/json/__init__.py",
            "usr/lib/python3/dist-packages/apt.py",
            "usr/local/lib/python3.11/dist-packages/numpy/__init__.py",
            "usr/local/lib/python3.11/dist-packages/numpy/core.so",
            "usr/local/lib/python3.11/dist-packages/numpy/tests/test_x.py",
            "usr/local/lib/python3.11/dist-packages/numpy/testing/x.py",
            "usr/local/lib/python3.11/dist-packages/tkinter/x.py",
            "usr/share/x.py",
        ]);
        tree.insert(TreePath::new("usr/lib/python3.11/sitecustomize.py").unwrap(), Node::symlink("/etc/x.py"));
        let planned: Vec<_> = plan(&tree, &python()).iter().map(ToString::to_string).collect();
        let expected = [
            "usr/lib/python3.11/json/__init__.py",
            "usr/lib/python3/dist-packages/apt.py",
            "usr/local/lib/python3.11/dist-packages/numpy/__init__.py",
            "usr/local/lib/python3.11/dist-packages/numpy/testing/x.py",
            "usr/local/lib/python3.11/dist-packages/tkinter/x.py",
        ];
        assert_eq!(planned, expected);
    }

    #[test]
    fn compiled_modules_become_a_tree_and_others_are_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&folder.path().join("store")).unwrap();
        let output = folder.path().join("output");
        let compiled = include_bytes!("testdata/held-311.pyc");
        fs::write_atomic(&output.join("a/__pycache__/m.cpython-311.pyc"), compiled).unwrap();
        fs::write_atomic(&output.join("a/__pycache__/other.cpython-311.pyc"), b"x").unwrap();
        let modules = ["a/m.py", "a/broken.py"].map(|path| TreePath::new(path).unwrap());
        let tree = collect(&store, &output, &modules, &python()).unwrap();
        let files: Vec<_> = tree.iter().filter_map(|(path, node)| Some((path.as_str(), node.content()?))).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].0, "a/__pycache__/m.cpython-311.pyc");
        assert_eq!(pack::read(&store, files[0].1).unwrap(), marshal::canonical(compiled).unwrap());

        let derived = Derived::new(&folder.path().join("derived"));
        let key = key(&Digest::of(b"wheel"), &[], &[Digest::of(b"python")]);
        remember(&derived, &key, &tree).unwrap();
        assert_eq!(recall(&derived, &store, &key).unwrap().unwrap().len(), tree.len());
        let Source::Pack { pack, .. } = files[0].1.source else { panic!("not in a pack") };
        std::fs::remove_file(store.path(&pack)).unwrap();
        assert!(recall(&derived, &store, &key).unwrap().is_none());
    }

    #[test]
    fn a_link_in_place_of_a_compiled_module_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("__pycache__")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("__pycache__/m.cpython-311.pyc")).unwrap();
        let error = collect(&store, folder.path(), &[TreePath::new("m.py").unwrap()], &python()).unwrap_err();
        assert!(matches!(error, BytecodeError::Kind { .. }), "{error}");
    }

    #[test]
    fn the_job_depends_on_nothing_but_its_arguments() {
        let job = job(&[TreePath::new("a/m.py").unwrap()], &python(), "/output/", 2);
        assert_eq!(job.command[0], "/usr/bin/python3.11");
        assert_eq!(job.command[job.command.len() - 2..], ["/output", "2"]);
        assert_eq!(job.stdin, b"/a/m.py\n");
    }
}
