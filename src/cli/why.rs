//! `mlpack why`: says what a package, a library or a file is in the image for.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use super::Terminal;
use super::text::bytes;
use super::workspace::{Options, Workspace};
use crate::compile;
use crate::error::{Diagnose, Exit, Result};
use crate::lock::{Package, PackageKind, PlatformLock};
use crate::platform::Platform;
use crate::resolve::why::{self, Link, Step};

/// As many of those that need a package are named in the text.
const SHOWN: usize = 8;

/// Say why a package, a library or a file is in the image
#[derive(Args, Debug)]
pub(super) struct Why {
    /// A package such as libgl1, a library such as libGL.so.1, or a path in the image
    name: String,
    #[command(flatten)]
    options: Options,
}

/// Nothing of that name is in the lock.
#[derive(Debug, thiserror::Error)]
enum WhyError {
    /// There is no lock file yet.
    #[error("`{path}` is not there yet")]
    Unlocked { path: String },
    /// No package or library has the name.
    #[error("the image has no package and no library `{name}`")]
    Unknown { name: String, similar: Vec<String> },
    /// No package has the file.
    #[error("no package of the image has `{path}`")]
    NoFile { path: String },
}

impl Diagnose for WhyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unlocked { .. } => Exit::Manifest,
            _ => Exit::Failure,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unlocked { .. } => vec!["run `mlpack lock`".to_owned()],
            Self::Unknown { similar, .. } if similar.is_empty() => Vec::new(),
            Self::Unknown { similar, .. } => vec![format!("did you mean {}?", similar.join(", "))],
            Self::NoFile { .. } => vec![
                "files of the project lie below /opt/mlpack; what depends on all packages, such as /etc/ld.so.cache, \
                 belongs to none"
                    .to_owned(),
            ],
        }
    }
}

/// The answer for one package.
#[derive(Serialize)]
struct Answer {
    platform: Platform,
    package: String,
    version: String,
    size: u64,
    chain: Vec<Step>,
    needed_by: BTreeSet<(String, Link)>,
    /// What is done in place of its maintainer scripts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
}

impl Why {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let workspace = Workspace::open(&self.options, terminal)?;
        let path = workspace.lock_path.display().to_string();
        let lock = workspace.lock()?.ok_or(WhyError::Unlocked { path })?;
        let mut answers = Vec::new();
        for &platform in workspace.platforms() {
            let chosen = lock.platform(platform, &workspace.lock_path)?;
            for package in self.packages(&workspace, platform, chosen)? {
                answers.push(answer(platform, chosen, package));
            }
        }
        let text: Vec<_> = answers.iter().map(text).collect();
        terminal.result(&text.join("\n\n"), &answers)
    }

    fn packages<'a>(
        &self,
        workspace: &Workspace,
        platform: Platform,
        lock: &'a PlatformLock,
    ) -> Result<Vec<&'a Package>> {
        if self.name.contains('/') {
            return Ok(vec![self.owner(workspace, platform, lock)?]);
        }
        let found = why::find(lock, &self.name);
        if found.is_empty() {
            return Err(WhyError::Unknown { name: self.name.clone(), similar: similar(lock, &self.name) }.into());
        }
        Ok(found)
    }

    /// Returns the package that has a file.
    fn owner<'a>(&self, workspace: &Workspace, platform: Platform, lock: &'a PlatformLock) -> Result<&'a Package> {
        let path = self.name.trim_start_matches('/');
        // Debian keeps these folders below /usr, whatever their names say.
        let merged = ["bin/", "lib/", "lib64/", "sbin/"].iter().any(|folder| path.starts_with(folder));
        let path = if merged { format!("usr/{path}") } else { path.to_owned() };
        let unpacked = compile::unpack(&workspace.worlds(platform)?, lock)?;
        let owner = lock.packages.iter().zip(&unpacked).find(|(_, unpacked)| unpacked.tree.contains(&path));
        Ok(owner.map(|(package, _)| package).ok_or_else(|| WhyError::NoFile { path: self.name.clone() })?)
    }
}

fn answer(platform: Platform, lock: &PlatformLock, package: &Package) -> Answer {
    let is_deb = package.kind == PackageKind::Deb;
    let actions = lock.actions.iter().filter(|action| is_deb && action.package == package.name);
    Answer {
        platform,
        package: format!("{}:{}", package.kind.name(), package.name),
        version: package.version.clone(),
        size: package.size,
        chain: why::chain(lock, package),
        needed_by: why::needed_by(lock, package),
        actions: actions.map(|action| action.does.clone()).collect(),
    }
}

fn text(answer: &Answer) -> String {
    let mut lines = vec![format!("{} {} ({})", shown(&answer.package), answer.version, bytes(answer.size))];
    lines.extend(answer.chain.iter().map(|step| format!("  {}", line(step))));
    let names: BTreeSet<_> = answer.needed_by.iter().map(|(name, _)| shown(name)).collect();
    if names.len() > 1 {
        let more = names.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<_> = names.into_iter().take(SHOWN).collect();
        lines.push(format!("  needed by {}{more}", names.join(", ")));
    }
    lines.extend(answer.actions.iter().map(|action| format!("  in place of its scripts: {action}")));
    lines.join("\n")
}

fn line(step: &Step) -> String {
    let version = step.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let name = format!("{}{version}", shown(&step.name));
    match (&step.link, step.asked_by.as_deref()) {
        (Some(Link::Library(soname)), _) => format!("→ needs {soname}, which is in {name}"),
        (Some(Link::Depends), _) => format!("→ depends on {name}"),
        (None, Some("manifest")) => format!("the manifest asks for {name}"),
        (None, Some("runtime")) => format!("the runtime is {name}"),
        (None, Some("essential")) => format!("Debian's essential packages have {name}"),
        (None, Some(_)) => format!("every image has {name}"),
        (None, None) => format!("the project has {name}"),
    }
}

/// Returns a name as a reader knows it: without its kind where that is Debian's.
fn shown(name: &str) -> String {
    match name.split_once(':') {
        Some((kind, name)) if kind == PackageKind::Deb.name() => name.to_owned(),
        Some((kind, name)) => format!("{kind} {name}"),
        None => name.to_owned(),
    }
}

/// Returns up to three names of packages and libraries that are spelled like `name`, the nearest first.
fn similar(lock: &PlatformLock, name: &str) -> Vec<String> {
    let packages = lock.packages.iter().map(|package| &package.name);
    let names = packages.chain(lock.libraries.iter().map(|library| &library.soname));
    let near: BTreeSet<_> = names.map(|other| (strsim::damerau_levenshtein(name, other), other)).collect();
    near.into_iter()
        .take_while(|(distance, _)| *distance <= 1 + name.len() / 4)
        .take(3)
        .map(|(_, name)| name.clone())
        .collect()
}
