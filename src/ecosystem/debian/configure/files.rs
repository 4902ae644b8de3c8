//! The effects that the table lists by package: folders, copies, small files and links.

use super::installed::Installed;
use super::table::{Copy, Script, TABLE};
use super::{ConfigureError, Configured, place};
use crate::layer::tree::{Content, Node};

/// Adds what the table says of each package.
pub(super) fn apply(installed: &Installed<'_>, configured: &mut Configured) -> Result<(), ConfigureError> {
    for (package, _) in installed.packages() {
        if let Some((script, matched)) = TABLE.script(package) {
            apply_script(installed, configured, package, script, matched)?;
        }
    }
    Ok(())
}

fn apply_script(
    installed: &Installed<'_>,
    configured: &mut Configured,
    package: &str,
    script: &Script,
    matched: &str,
) -> Result<(), ConfigureError> {
    for folder in &script.folders {
        let path = place(package, &folder.path.replace("{}", matched))?;
        configured.done(package, format!("folder {path}"));
        configured.add(installed, path, Node { mode: folder.mode, gid: folder.gid, ..Node::directory() });
    }
    for copy in &script.copies {
        apply_copy(installed, configured, package, copy)?;
    }
    for file in &script.files {
        let path = place(package, &file.path)?;
        configured.done(package, format!("file {path}"));
        configured.add(installed, path, Node::file(Content::inline(file.text.as_bytes()), 0o644));
    }
    for link in &script.links {
        let target = link.target.strip_prefix('/');
        // Releases differ in the files that they have.
        let dangling = target.is_some_and(|target| target.starts_with("usr/") && installed.get(target).is_none());
        if dangling || link.unless.as_ref().is_some_and(|file| installed.get(file).is_some()) {
            continue;
        }
        let path = place(package, &link.path)?;
        configured.done(package, format!("link {path}: {}", link.target));
        configured.add(installed, path, Node::symlink(&link.target));
    }
    Ok(())
}

fn apply_copy(
    installed: &Installed<'_>,
    configured: &mut Configured,
    package: &str,
    copy: &Copy,
) -> Result<(), ConfigureError> {
    let Some(mut bytes) = installed.read(&copy.from)? else { return Ok(()) };
    if let Some((old, new)) = &copy.replace {
        bytes = String::from_utf8_lossy(&bytes).replace(old, new).into_bytes();
    }
    let path = place(package, &copy.to)?;
    configured.done(package, format!("copy {path}: {}", copy.from));
    configured.add(installed, path, Node::file(Content::inline(bytes), 0o644));
    Ok(())
}
