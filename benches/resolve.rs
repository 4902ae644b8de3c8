//! Measures resolving and cold builds on real packages, and prints a Markdown table. `benches/resolve.sh` runs it.
//!
//! It keeps its home, some 6 GB, in the folder that is its argument: the first run fetches what all later ones use.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlpack::ecosystem::debian::sources::{APT_FOLDER, Configured, Mirrors};
use mlpack::ecosystem::debian::{Archive, Debs, Pool};
use mlpack::elf;
use mlpack::event::Silent;
use mlpack::fetch::Home;
use mlpack::fetch::derived::Derived;
use mlpack::fetch::http::Http;
use mlpack::layer::tree::Tree;
use mlpack::lock::{Lock, Package};
use mlpack::platform::Platform;

const RUNS: usize = 5;
/// The groups of `wheels.tsv` that are locked together, 60 wheels.
const GROUPS: [&str; 7] = ["arrays", "learning", "images", "maps", "services", "sound", "small"];
const MANIFEST: &str = "apiVersion: mlpack/v1\nname: bench\nversion: 1.0.0\nservice: service.py:Service\n\
                        endpoints: {call: {input: {type: json}, output: {type: json}}}\n";
const WHEELS: &str = "runtime: {language: python, version: \"3.11\", packages: requirements.txt}\n";
/// R, Python with numpy, and GDAL, with all that they depend on.
const SYSTEM: &str = "runtime: {language: python, version: \"3.11\"}\n\
                      system: {libraries: depends, packages: [gdal-bin, python3-gdal, r-base-core]}\n";

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let bench = Bench { folder: PathBuf::from(folder.expect("name a folder to work in")) };
    println!("| measured | value | goal | met |\n|---|---|---|---|");
    bench.lock();
    bench.indexes();
    bench.scan();
    bench.builds();
}

/// The folder with the home and the projects.
struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Writes a project, and locks it where it has no lock yet.
    fn project(&self, name: &str, runtime: &str) -> PathBuf {
        let project = self.folder.join(name);
        fs::create_dir_all(&project).unwrap();
        fs::write(project.join("manifest.yaml"), format!("{MANIFEST}{runtime}")).unwrap();
        fs::write(project.join("service.py"), "class Service:\n    def call(self, value):\n        return value\n")
            .unwrap();
        fs::write(project.join("requirements.txt"), requirements()).unwrap();
        run(&project, &self.home(), &["lock"], &[]);
        project
    }

    /// Locking again, with everything fetched, without the time that uv takes.
    fn lock(&self) {
        let project = self.project("wheels", WHEELS);
        let (wrapper, took) = (self.folder.join("uv"), self.folder.join("uv.time"));
        let uv = find(&self.home(), "uv");
        let script = format!(
            "#!/bin/sh\nstart=$(date +%s%N)\n{} \"$@\"\ncode=$?\necho $(($(date +%s%N) - start)) >>{}\nexit $code\n",
            uv.display(),
            took.display()
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let environment = [("MLPACK_UV", wrapper.to_str().unwrap())];
        let (mut all, mut own) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            fs::write(&took, "").unwrap();
            let time = run(&project, &self.home(), &["lock", "--update"], &environment);
            let of_uv: u64 = fs::read_to_string(&took).unwrap().lines().map(|line| line.parse::<u64>().unwrap()).sum();
            all.push(time);
            own.push(time.saturating_sub(Duration::from_nanos(of_uv)));
        }
        let lock = locked(&project);
        let (debs, others) = (lock.iter().filter(|package| package.release.is_some()).count(), lock.len());
        row(&format!("lock of {} wheels and {debs} debs, all of it", others - debs), median(all), None);
        row("the same without uv's own time", median(own), Some(1.0));
    }

    /// The first use of a release's indexes, from the compressed files.
    fn indexes(&self) {
        let platform = Platform::host().unwrap();
        let mirrors = Mirrors::find(&Configured::default(), Path::new(APT_FOLDER)).unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let folder = tempfile::tempdir_in(&self.folder).unwrap();
            let home = Home::below(folder.path());
            let http = |offline| Http::new(Arc::new(Silent), offline);
            let archive =
                |offline| Archive::open("bookworm", &[], platform, &mirrors, &home, &http(offline), &[]).unwrap();
            // Fetches; then all that was made of the files is thrown away.
            archive(false).sonames().unwrap();
            remove_plain(&home);
            for times in [&mut first, &mut second] {
                let start = Instant::now();
                archive(true).sonames().unwrap();
                times.push(start.elapsed());
            }
        }
        row("first use of bookworm's indexes", median(first), Some(3.0));
        row("every later use", median(second), None);
    }

    /// Returns the files of some packages.
    fn trees(&self, lock: &[Package]) -> Vec<Tree> {
        let home = Home::below(&self.home());
        let blobs = home.blobs().unwrap();
        let http = Http::new(Arc::new(Silent), false);
        let mirrors = Mirrors::find(&Configured::default(), Path::new(APT_FOLDER)).unwrap();
        let pool = Pool::new(mirrors, blobs.clone(), http);
        let debs = Debs::new(pool, blobs, home.derived(), Platform::host().unwrap());
        lock.iter().map(|package| debs.open(package).unwrap().tree).collect()
    }

    /// Reading the ELF objects of unpacked packages.
    fn scan(&self) {
        let blobs = Home::below(&self.home()).blobs().unwrap();
        let trees = self.trees(&locked(&self.project("system", SYSTEM)));
        let mut times = Vec::new();
        let mut objects = 0;
        for _ in 0..RUNS {
            let folder = tempfile::tempdir_in(&self.folder).unwrap();
            let derived = Derived::new(folder.path());
            let start = Instant::now();
            objects = trees.iter().map(|tree| elf::scan(&blobs, &derived, tree).unwrap().len()).sum();
            times.push(start.elapsed());
        }
        let share = 2000.0 / objects as f64;
        row(&format!("ELF scan, for 2,000 of {objects} objects"), median(times).mul_f64(share), Some(0.5));
    }

    /// Builds of R, Python and GDAL: with their downloads alone, and with the packages unpacked.
    fn builds(&self) {
        let project = self.project("system", SYSTEM);
        let lock = locked(&project);
        let packed = lock.iter().map(|package| package.size).sum::<u64>() / 1_000_000;
        let trees = self.trees(&lock);
        let contents = trees.iter().flat_map(Tree::iter).filter_map(|(_, node)| node.content());
        let unpacked = contents.map(|content| content.length).sum::<u64>() / 1_000_000;
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let home = tempfile::tempdir_in(&self.folder).unwrap();
            let blobs = home.path().join("cache/blobs/sha256");
            fs::create_dir_all(&blobs).unwrap();
            for package in &lock {
                let name = package.sha256.hex();
                fs::hard_link(self.home().join("cache/blobs/sha256").join(&name), blobs.join(name)).unwrap();
            }
            cold.push(run(&project, home.path(), &["build", "--offline"], &[]));
            fs::remove_dir_all(home.path().join("images")).unwrap();
            warm.push(run(&project, home.path(), &["build", "--offline"], &[]));
        }
        let what = format!("build of {} debs ({packed} MB, {unpacked} MB unpacked)", lock.len());
        row(&format!("{what}, downloads cached"), median(cold), Some(8.0));
        row("the same, unpacked debs cached", median(warm), Some(4.0));
    }
}

/// Runs mlpack, which must succeed; returns how long it took.
fn run(project: &Path, home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlpack"));
    command.current_dir(project).args(arguments).env("MLPACK_HOME", home).envs(environment.iter().copied());
    let start = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

fn row(what: &str, time: Duration, goal: Option<f64>) {
    let seconds = time.as_secs_f64();
    let (goal, met) = match goal {
        Some(goal) => (format!("≤ {goal} s"), if seconds <= goal { "yes" } else { "**no**" }),
        None => (String::new(), ""),
    };
    println!("| {what} | {seconds:.2} s | {goal} | {met} |");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn requirements() -> String {
    let lines = include_str!("wheels.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let mut names: Vec<_> = lines.filter(|fields| GROUPS.contains(&fields[0])).map(|fields| fields[1]).collect();
    names.sort_unstable();
    names.dedup();
    names.join("\n") + "\n"
}

fn locked(project: &Path) -> Vec<Package> {
    let path = project.join("mlpack.lock");
    let lock = Lock::read(&path).unwrap().unwrap();
    lock.platform(Platform::host().unwrap(), &path).unwrap().packages.clone()
}

/// Returns the file of that name below a folder.
fn find(folder: &Path, name: &str) -> PathBuf {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let found = entries.into_iter().find(|entry| entry.file_type().is_file() && entry.file_name() == name);
    found.unwrap_or_else(|| panic!("no `{name}` below {}", folder.display())).into_path()
}

/// Removes the indexes that were unpacked, and all derived values.
fn remove_plain(home: &Home) {
    let store = home.blobs().unwrap();
    for entry in fs::read_dir(store.root().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if fs::read(&path).unwrap().starts_with(b"Package: ") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::remove_dir_all(home.cache().join("derived")).unwrap();
}
