//! Python packages from the configured index, chosen, fetched, unpacked and compiled. Needs the network and python3.11.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use mlpack::ecosystem::pypi::bytecode::{self, marshal};
use mlpack::ecosystem::pypi::{Indexes, Python, Requirements, Resolution, Settings, Uv, fetch, notices, unpack, uv};
use mlpack::event::Silent;
use mlpack::fetch::home::Home;
use mlpack::fetch::http::Http;
use mlpack::fetch::pack;
use mlpack::layer::tree::{Kind, Node, Tree};
use mlpack::platform::Platform;

struct Bench {
    folder: tempfile::TempDir,
    home: Home,
    http: Http,
    indexes: Indexes,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(&folder.path().join("home"));
        let http = Http::new(Arc::new(Silent), false);
        let settings =
            Settings { environment: std::env::vars().collect(), root: PathBuf::from("/"), ..Settings::default() };
        let indexes = Indexes::new(&settings, || panic!("python3 with pip is needed")).unwrap();
        Self { folder, home, http, indexes }
    }

    fn resolve(&self, requirements: &Requirements, target: &uv::Target) -> Result<Resolution, uv::UvError> {
        let uv = Uv::pinned(&self.home, &self.indexes, &self.http)?;
        uv.resolve(requirements, self.folder.path(), target, &self.indexes, &self.http)
    }

    fn unpack(&self, resolution: &Resolution, target: &uv::Target) -> Tree {
        let (store, derived) = (self.home.blobs().unwrap(), self.home.derived());
        let mut all = Tree::new();
        for package in &resolution.packages {
            let known = resolution.urls.get(&package.path);
            let blob = fetch(package, known, &self.indexes, &store, &self.http).unwrap();
            let tree = unpack(&store, &derived, package, &blob, &target.python, target.platform).unwrap();
            let again = unpack(&store, &derived, package, &blob, &target.python, target.platform).unwrap();
            assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&tree).unwrap());
            all.merge(tree).unwrap();
        }
        all
    }
}

fn target(python: &str, platform: &str, glibc: u32) -> uv::Target {
    uv::Target { python: python.parse().unwrap(), platform: platform.parse::<Platform>().unwrap(), glibc }
}

fn list(packages: &[&str]) -> Requirements {
    Requirements::List(packages.iter().map(|package| (*package).to_owned()).collect())
}

fn lay_out(bench: &Bench, tree: &Tree, root: &Path) {
    let store = bench.home.blobs().unwrap();
    for (path, node) in tree.iter() {
        let place = root.join(path.as_str());
        match &node.kind {
            Kind::Directory => std::fs::create_dir_all(place).unwrap(),
            Kind::File(content) => std::fs::write(place, pack::read(&store, content).unwrap()).unwrap(),
            Kind::Symlink(_) => panic!("a wheel has no links"),
        }
    }
}

/// Compiles the tree laid out in `root` with the python3.11 of this machine, which is not the image's: enough to see
/// that the parts fit together.
fn compile(bench: &Bench, tree: &Tree, root: &Path, processes: usize, reverse: bool) -> Tree {
    let python: Python = "3.11".parse().unwrap();
    let output = tempfile::tempdir().unwrap();
    let mut modules = bytecode::plan(tree, &python);
    if reverse {
        modules.reverse();
    }
    let job = bytecode::job(&modules, &python, output.path().to_str().unwrap(), processes);
    let prefix = root.to_str().unwrap();
    let listed = String::from_utf8(job.stdin).unwrap();
    let stdin = listed.lines().fold(String::new(), |text, path| text + prefix + path + "\n");
    let mut command = Command::new("python3.11");
    command.args(&job.command[1..]).envs(&job.environment).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    modules.sort();
    let output = output.path().join(&prefix[1..]);
    bytecode::collect(&bench.home.blobs().unwrap(), &output, &modules, &python).unwrap()
}

#[test]
fn packages_are_chosen_fetched_unpacked_and_compiled() {
    let bench = Bench::new();
    let target = target("3.11.2", "linux/amd64", 36);
    let resolution = bench.resolve(&list(&["scikit-learn", "pandas", "joblib"]), &target).unwrap();
    let reasons: BTreeMap<_, _> =
        resolution.packages.iter().map(|package| (package.name.as_str(), &package.reasons)).collect();
    assert!(reasons["numpy"].contains(&"pandas".to_owned()), "{reasons:?}");
    assert_eq!(*reasons["joblib"], ["manifest", "scikit-learn"]);
    let tree = bench.unpack(&resolution, &target);
    assert!(tree.contains("usr/local/lib/python3.11/dist-packages/sklearn/__init__.py"));
    assert!(tree.get("usr/local/bin/f2py").is_some_and(|node| node.mode == 0o755));
    assert_eq!(notices::startup_files(&tree, &target.python).len(), 0);

    let root = tempfile::tempdir().unwrap();
    lay_out(&bench, &tree, root.path());
    let site = root.path().join(target.python.site());
    let run = |program: &str| {
        let status = Command::new("python3.11").args(["-S", "-B", "-c", program]).env("PYTHONPATH", &site).status();
        assert!(status.unwrap().success(), "{program}");
    };
    run("import pandas, sklearn.linear_model as m; m.LogisticRegression().fit([[0], [1]], [0, 1])");
    run(
        "from importlib.metadata import distributions as d; assert all(f.locate().exists() for x in d(path=[__import__('sys').path[1]]) for f in x.files)",
    );
}

#[test]
fn compiled_modules_do_not_depend_on_the_compiling_process() {
    let bench = Bench::new();
    let target = target("3.11", "linux/amd64", 36);
    let tree = bench.unpack(&bench.resolve(&list(&["joblib", "pandas"]), &target).unwrap(), &target);
    let root = tempfile::tempdir().unwrap();
    lay_out(&bench, &tree, root.path());
    let first = compile(&bench, &tree, root.path(), 1, false);
    let second = compile(&bench, &tree, root.path(), 2, true);
    assert!(first.len() > 500);
    for ((path, first), (_, second)) in first.iter().zip(second.iter()) {
        let digest = |node: &Node| node.content().map(|content| content.digest);
        assert_eq!(digest(first), digest(second), "{path}");
    }
}

#[test]
fn other_platforms_and_versions_are_resolved_from_here() {
    let bench = Bench::new();
    let target = target("3.13", "linux/arm64", 41);
    let resolution = bench.resolve(&list(&["scikit-learn", "pandas", "joblib"]), &target).unwrap();
    let numpy = resolution.packages.iter().find(|package| package.name == "numpy").unwrap();
    assert!(numpy.path.contains("cp313") && numpy.path.contains("aarch64"), "{}", numpy.path);
    let tree = bench.unpack(&resolution, &target);
    assert!(tree.contains("usr/local/lib/python3.13/dist-packages/pandas/__init__.py"));
}

#[test]
fn a_lock_of_uv_keeps_its_versions() {
    let bench = Bench::new();
    let project = bench.folder.path();
    let write = |name: &str, text: &str| std::fs::write(project.join(name), text).unwrap();
    let pyproject = "[project]\nname = \"model\"\nversion = \"1\"\nrequires-python = \">=3.11\"\n";
    write("pyproject.toml", &format!("{pyproject}dependencies = [\"joblib==1.4.0\"]\n"));
    Uv::pinned(&bench.home, &bench.indexes, &bench.http).unwrap();
    let uv = bench.home.cache().join(format!("tools/uv-{}/uv", uv::VERSION));
    assert!(
        Command::new(uv).args(["lock", "--quiet", "--python", "3.11"]).current_dir(project).status().unwrap().success()
    );
    write("pyproject.toml", &format!("{pyproject}dependencies = [\"joblib\"]\n"));
    let requirements = Requirements::File("uv.lock".into());
    let resolution = bench.resolve(&requirements, &target("3.11", "linux/amd64", 36)).unwrap();
    let joblib = &resolution.packages[0];
    assert_eq!((joblib.name.as_str(), joblib.version.as_str()), ("joblib", "1.4.0"));
    assert_eq!(joblib.reasons, ["manifest"]);
    let free = bench.resolve(&Requirements::File("pyproject.toml".into()), &target("3.11", "linux/amd64", 36)).unwrap();
    assert_ne!(free.packages.iter().find(|package| package.name == "joblib").unwrap().version, "1.4.0");
}

#[test]
fn a_source_distribution_is_no_wheel() {
    let bench = Bench::new();
    let error = bench.resolve(&list(&["pyspark==3.5.0"]), &target("3.11", "linux/amd64", 36)).unwrap_err();
    let hints = mlpack::error::Diagnose::hints(&error);
    assert!(hints.iter().any(|hint| hint.contains("only a source distribution")), "{error}\n{hints:?}");
}

#[test]
fn the_standard_library_survives_its_canonical_form() {
    const COMPARE: &str = "\
import marshal, sys
for path in sys.argv[1:]:
    first, second = (marshal.loads(open(path + end, 'rb').read()[16:]) for end in ('', '.canonical'))
    assert first == second, path
";
    let output = Command::new("python3.11").args(["-c", "import os; print(os.path.dirname(os.__file__))"]).output();
    let library = PathBuf::from(String::from_utf8(output.unwrap().stdout).unwrap().trim());
    let scratch = tempfile::tempdir().unwrap();
    let status = Command::new("python3.11")
        .args(["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"])
        .args([library.join("asyncio"), library.join("email"), library.join("json"), library.join("typing.py")])
        .env("PYTHONPYCACHEPREFIX", scratch.path())
        .status();
    assert!(status.unwrap().success());
    let mut compared = Vec::new();
    for entry in walkdir(scratch.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        let canonical = marshal::canonical(&bytes).unwrap();
        assert_eq!(marshal::canonical(&canonical).unwrap(), canonical);
        std::fs::write(format!("{}.canonical", entry.display()), canonical).unwrap();
        compared.push(entry);
    }
    assert!(compared.len() > 50);
    assert!(Command::new("python3.11").args(["-c", COMPARE]).args(compared).status().unwrap().success());
}

fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] }).collect()
}
