//! The part of a manifest that resolving depends on, as lines of text: what a lock says it was made for.
//!
//! Lines, so that a stale lock can be explained by what was added and removed.

use std::io::Read as _;
use std::path::Path;

use walkdir::WalkDir;

use crate::digest::Digest;
use crate::ecosystem::pypi::requirements::{self, Line};
use crate::error::Result;
use crate::fs;
use crate::lock::{Lock, LockError};
use crate::manifest::{Essential, Libraries, Manifest, Packages, Place, Scripts};

/// Returns the request as sorted lines, such as `runtime python 3.11` and `requirement scikit-learn==1.7.2`.
pub fn lines(manifest: &Manifest) -> Result<Vec<String>> {
    let runtime = &manifest.runtime;
    let libraries = match manifest.system.libraries {
        Libraries::Elf => "elf",
        Libraries::Depends => "depends",
        Libraries::None => "none",
    };
    let mut lines = vec![format!("runtime {} {}", runtime.language, runtime.version), format!("libraries {libraries}")];
    lines.extend(manifest.system.packages.iter().map(|package| format!("system {package}")));
    lines.extend(manifest.system.build.iter().map(|package| format!("build {package}")));
    lines.extend(repositories(manifest));
    lines.extend(manifest.system.suites.iter().map(|suite| format!("suite {suite}")));
    lines.extend(manifest.system.pins.iter().map(|pin| format!("pin {pin}")));
    match manifest.system.essential {
        Essential::Auto => {}
        Essential::Full => lines.push("essential full".to_owned()),
        Essential::None => lines.push("essential none".to_owned()),
    }
    // What denies scripts checks them as it locks.
    if manifest.system.scripts == Scripts::Deny {
        lines.push("scripts deny".to_owned());
    }
    match &runtime.packages {
        Packages::None => {}
        Packages::List(list) => lines.extend(list.iter().map(|line| format!("requirement {line}"))),
        Packages::File(path) => lines.extend(file_lines(path)?),
    }
    lines.extend(objects(manifest)?);
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn repositories(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.runtime.repositories.iter().map(|(name, repository)| {
        let place = match &repository.place {
            Some(Place::Address(address)) => address.clone(),
            Some(Place::Folder(folder)) => folder.strip_prefix(&manifest.root).unwrap_or(folder).display().to_string(),
            None => "as configured {date}".to_owned(),
        };
        let place = place.replace("{date}", repository.date.as_deref().unwrap_or_default());
        format!("repository {name} {}", place.trim_end())
    })
}

/// The project's own ELF objects: what they need was found when the lock was made.
fn objects(manifest: &Manifest) -> Result<Vec<String>> {
    let code = manifest.code.iter().map(|file| manifest.root.join(file));
    let files = code.chain(manifest.all_artifacts().map(|artifact| artifact.path.clone()));
    let mut lines = Vec::new();
    // A file that cannot be read is an error of whoever packs it.
    for entry in files.flat_map(|file| WalkDir::new(file).follow_root_links(true)).flatten() {
        if entry.file_type().is_file() && is_elf(entry.path()) {
            let path = entry.path().strip_prefix(&manifest.root).unwrap_or(entry.path());
            lines.push(format!("object {} {}", path.display(), Digest::of(&fs::read(entry.path())?)));
        }
    }
    Ok(lines)
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *b"\x7fELF"
}

/// A plain requirements file gives its lines; any other file its digest, since only its own tool can read it.
fn file_lines(path: &Path) -> Result<Vec<String>> {
    if path.extension().is_some_and(|extension| extension == "txt") {
        let text_of = |path: &Path| fs::read(path).map(|text| Some(String::from_utf8_lossy(&text).into_owned()));
        let lines = requirements::read(path, &text_of)?;
        return Ok(lines.iter().filter(|line| !line.is_of_index()).map(Line::request).collect());
    }
    let mut lines = vec![file_line(path)?];
    if path.file_name().is_some_and(|name| name == "uv.lock") {
        lines.push(file_line(&path.with_file_name("pyproject.toml"))?);
    }
    Ok(lines)
}

fn file_line(path: &Path) -> Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("packages {name} {}", Digest::of(&fs::read(path)?)))
}

/// Returns the digest of a request.
pub fn digest(lines: &[String]) -> Digest {
    Digest::of(lines.join("\n").as_bytes())
}

/// Checks that `lock` was made for this request; `path` is the lock file, for the error.
pub fn check(lock: &Lock, lines: &[String], path: &Path) -> Result<(), LockError> {
    if lock.request == digest(lines) {
        return Ok(());
    }
    let removed = lock.requested.iter().filter(|line| !lines.contains(line)).map(|line| format!("- {line}"));
    let added = lines.iter().filter(|line| !lock.requested.contains(line)).map(|line| format!("+ {line}"));
    Err(LockError::Stale { path: path.to_owned(), changes: removed.chain(added).collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::lock::FORMAT;

    #[test]
    fn a_lock_of_uv_goes_with_its_project() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uv.lock");
        let lines = |project: &str| {
            std::fs::write(folder.path().join("pyproject.toml"), project).unwrap();
            file_lines(&path).unwrap()
        };
        std::fs::write(&path, "version = 1\n").unwrap();
        let before = lines("a");
        assert!(before[0].starts_with("packages uv.lock ") && before[1].starts_with("packages pyproject.toml "));
        assert_ne!(lines("b"), before);
    }

    #[test]
    fn a_stale_lock_says_what_changed() {
        let lines = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let requested = lines(&["requirement numpy==1", "runtime python 3.11"]);
        let lock = Lock { format: FORMAT, request: digest(&requested), requested, platforms: BTreeMap::new() };
        let path = Path::new("mlpack.lock");
        assert!(check(&lock, &lock.requested, path).is_ok());
        let error = check(&lock, &lines(&["requirement numpy==2", "runtime python 3.11"]), path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`mlpack.lock` no longer fits the manifest:\n- requirement numpy==1\n+ requirement numpy==2"
        );
    }
}
