//! Runs uv, which chooses the packages: only to lock, and with no Python on the machine.
//!
//! The program is one pinned version, fetched once as a wheel by its hash, or the user's own. uv asks an interpreter
//! what it is before it resolves for another one; it is given a script that answers for the image's interpreter. That
//! answer's form is uv's own affair, which is one reason for the pin. uv builds nothing: wheels only.

mod error;
mod program;
mod stub;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use url::Url;

pub use error::UvError;
pub use program::VERSION;

use super::index::Indexes;
use super::name::normalise;
use super::pylock::{self, Origin, Wheel};
use super::{Python, Requirements};
use crate::fetch::http::Http;
use crate::fs;
use crate::lock::{Package, PackageKind};
use crate::platform::Platform;

/// What the packages are for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The image's Python.
    pub python: Python,
    /// The image's platform.
    pub platform: Platform,
    /// The second number of the version of the image's GNU C library: 36 for 2.36.
    pub glibc: u32,
}

impl Target {
    /// Returns uv's name of the newest kind of wheel that the C library can load.
    fn uv_platform(&self) -> String {
        const KNOWN: [u32; 12] = [17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];
        let newest = KNOWN.into_iter().rev().find(|known| *known <= self.glibc).unwrap_or(KNOWN[0]);
        format!("{}-manylinux_2_{newest}", self.platform.machine())
    }
}

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolution {
    /// The wheels, in order of name.
    pub packages: Vec<Package>,
    /// Where each file was seen, by file name. For fetching in this run; not for the lock.
    pub urls: BTreeMap<String, Url>,
}

/// The resolver's program and its cache.
#[derive(Clone, Debug)]
pub struct Uv {
    program: PathBuf,
    cache: PathBuf,
}

impl Uv {
    /// Returns the user's own uv. `cache` is mlpack's cache folder.
    pub fn own(program: &Path, cache: &Path) -> Self {
        // uv runs in the manifest's folder. A name without a folder is looked up in the search path.
        let program = if program.components().count() > 1 { absolute(program) } else { program.to_owned() };
        Self { program, cache: absolute(cache) }
    }

    /// Chooses wheels for `requirements`; `folder` is the manifest's, which relative paths start from.
    pub fn resolve(
        &self,
        requirements: &Requirements,
        folder: &Path,
        target: &Target,
        indexes: &Indexes,
        http: &Http,
    ) -> Result<Resolution, UvError> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Requirements::File(path) = requirements
            && is_pylock(path)
        {
            let path = folder.join(path);
            let text = fs::read_to_string(&path)?;
            let wheels = pylock::parse(&text, (&path, Origin::User), target)?;
            let reasons = stated_reasons(&wheels);
            return complete(wheels, &reasons, indexes, http);
        }
        fs::create_dir_all(&self.cache)?;
        let wrap = fs::Error::wrap("create a folder in", &self.cache);
        let scratch = tempfile::Builder::new().prefix("uv-").tempdir_in(&self.cache).map_err(wrap)?;
        let run = Run { uv: self, target, indexes, offline: http.is_offline(), folder, scratch: scratch.path() };
        let (wheels, reasons) = run.choose(requirements)?;
        complete(wheels, &reasons, indexes, http)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether a file is a lock that needs no resolver: `pylock.toml` or `pylock.NAME.toml`.
fn is_pylock(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("pylock.") && name.ends_with("toml")
}

type Reasons = BTreeMap<String, BTreeSet<String>>;

/// Turns a lock's own edges around; what nothing needs was asked for.
fn stated_reasons(wheels: &[Wheel]) -> Reasons {
    let mut reasons = Reasons::new();
    for wheel in wheels {
        for dependency in &wheel.dependencies {
            reasons.entry(dependency.clone()).or_default().insert(wheel.name.clone());
        }
    }
    reasons
}

fn complete(wheels: Vec<Wheel>, reasons: &Reasons, indexes: &Indexes, http: &Http) -> Result<Resolution, UvError> {
    let mut resolution = Resolution::default();
    for wheel in wheels {
        let size = match wheel.size {
            Some(size) => size,
            None => http
                .content_length(&indexes.authorize(&wheel.url))?
                .ok_or_else(|| UvError::Size { file: wheel.file_name.clone() })?,
        };
        let manifest = || BTreeSet::from(["manifest".to_owned()]);
        resolution.packages.push(Package {
            kind: PackageKind::Wheel,
            version: wheel.version,
            architecture: None,
            source: None,
            release: None,
            path: wheel.file_name.clone(),
            size,
            sha256: wheel.sha256,
            reasons: reasons.get(&wheel.name).cloned().unwrap_or_else(manifest).into_iter().collect(),
            name: wheel.name,
        });
        resolution.urls.insert(wheel.file_name, wheel.url);
    }
    Ok(resolution)
}

/// One resolution with its files.
struct Run<'a> {
    uv: &'a Uv,
    target: &'a Target,
    indexes: &'a Indexes,
    offline: bool,
    /// The manifest's folder.
    folder: &'a Path,
    scratch: &'a Path,
}

impl Run<'_> {
    fn choose(&self, requirements: &Requirements) -> Result<(Vec<Wheel>, Reasons), UvError> {
        let stub = self.scratch.join("python");
        fs::write_atomic(&stub, stub::script(self.target).as_bytes())?;
        fs::set_mode(&stub, 0o755)?;
        let inputs = self.inputs(requirements)?;
        let text = self.compile(&inputs, &["--format", "pylock.toml"])?;
        let path = self.scratch.join("pylock.toml");
        let wheels = pylock::parse(&text, (&path, Origin::Uv), self.target)?;
        // The lock does not say who needs what; the other format does, in comments, from what is cached now.
        let listing = self.compile(&inputs, &["--format", "requirements.txt", "--annotation-style", "line"])?;
        Ok((wheels, parse_reasons(&listing)))
    }

    /// Returns the arguments that name the requirements.
    fn inputs(&self, requirements: &Requirements) -> Result<Vec<String>, UvError> {
        let text = |path: &Path| path.display().to_string();
        match requirements {
            Requirements::List(list) => {
                // A line of such a file may also be an option that reads other files or names another index.
                let wrong = list.iter().find(|text| text.trim_start().starts_with('-') || text.contains(['\n', '\r']));
                if let Some(text) = wrong {
                    return Err(UvError::Requirement { text: text.clone() });
                }
                let path = self.scratch.join("requirements.in");
                fs::write_atomic(&path, (list.join("\n") + "\n").as_bytes())?;
                Ok(vec![text(&path)])
            }
            Requirements::File(path) if path.file_name().is_some_and(|name| name == "uv.lock") => {
                let project = absolute(&self.folder.join(path.parent().unwrap_or(Path::new(""))));
                let constraints = self.scratch.join("constraints.txt");
                fs::write_atomic(&constraints, self.export(&project)?.as_bytes())?;
                Ok(vec![text(&project.join("pyproject.toml")), "--constraint".to_owned(), text(&constraints)])
            }
            Requirements::File(path) => Ok(vec![text(path)]),
        }
    }

    /// Returns the versions of a `uv.lock`, for every platform.
    fn export(&self, project: &Path) -> Result<String, UvError> {
        let mut command = self.command();
        command.args(["export", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project", "--no-header", "--quiet"]);
        command.args(["--format", "requirements.txt", "--all-extras"]).arg("--project").arg(project);
        self.run(command)
    }

    fn compile(&self, inputs: &[String], format: &[&str]) -> Result<String, UvError> {
        let mut command = self.command();
        command.args(["pip", "compile", "--quiet", "--no-header", "--no-build"]);
        command.args(["--python-platform", &self.target.uv_platform()]);
        command.args(["--python-version", self.target.python.full()]);
        command.args(format).args(inputs);
        self.run(command)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.uv.program);
        command.current_dir(self.folder).stdin(Stdio::null());
        // Proxies, certificates and uv's own variables pass through; these would contradict what is stated here.
        for variable in ["UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_PYTHON", "VIRTUAL_ENV", "UV_CUSTOM_COMPILE_COMMAND"]
        {
            command.env_remove(variable);
        }
        command.envs(self.indexes.environment());
        command.env("UV_PYTHON_DOWNLOADS", "never").env("UV_NO_PROGRESS", "1").env("NO_COLOR", "1");
        if self.offline {
            command.env("UV_OFFLINE", "1");
        }
        command.arg("--cache-dir").arg(self.uv.cache.join("uv"));
        command
    }

    fn run(&self, mut command: Command) -> Result<String, UvError> {
        command.arg("--python").arg(self.scratch.join("python"));
        let start = |source| UvError::Start { program: self.uv.program.clone(), source };
        let output = command.output().map_err(start)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = self.indexes.redact(String::from_utf8_lossy(&output.stderr).trim());
        Err(UvError::Resolution { output: text })
    }
}

/// Reads lines such as `numpy==2.0.0  # via pandas, -r requirements.txt`.
fn parse_reasons(listing: &str) -> Reasons {
    let mut reasons = Reasons::new();
    for line in listing.lines().filter(|line| !line.starts_with([' ', '#', '-'])) {
        let Some((name, _)) = line.split_once("==") else { continue };
        let via = line.split_once("# via ").map_or("", |(_, via)| via);
        let sources = via.split(',').map(str::trim).filter(|source| !source.is_empty() && !source.starts_with("-c "));
        // A package's name stands alone; files and projects have more to them.
        let reason = |source: &str| if source.contains([' ', '/']) { "manifest".to_owned() } else { normalise(source) };
        let mut set: BTreeSet<_> = sources.map(reason).collect();
        if set.is_empty() {
            set.insert("manifest".to_owned());
        }
        reasons.insert(normalise(name), set);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_the_newest_that_the_c_library_loads() {
        let target = |platform: &str, glibc| {
            let python = "3.11".parse().unwrap();
            Target { python, platform: platform.parse().unwrap(), glibc }.uv_platform()
        };
        assert_eq!(target("linux/amd64", 36), "x86_64-manylinux_2_36");
        assert_eq!(target("linux/arm64", 41), "aarch64-manylinux_2_40");
        assert_eq!(target("linux/amd64", 30), "x86_64-manylinux_2_28");
    }

    #[test]
    fn reasons_come_from_the_listing() {
        let reasons = parse_reasons(
            "joblib==1.6.0             # via scikit-learn, -r r.in\nnumpy==2.5.5 # via pandas\n\
             six==1\npandas==3 # via model (pyproject.toml)\n",
        );
        let list = |name: &str| reasons[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(list("joblib"), ["manifest", "scikit-learn"]);
        assert_eq!(list("numpy"), ["pandas"]);
        assert_eq!((list("six"), list("pandas")), (vec!["manifest"], vec!["manifest"]));
    }
}
