//! What depends on all Debian packages together: the base of the tree, and on top the emulated scripts' effects and the
//! loader's cache.

use super::Inputs;
use crate::ecosystem::Unpacked;
use crate::elf::{cache, ldconfig};
use crate::error::{Diagnose, Exit, Result};
use crate::layer::tree::{Content, Node, Tree, TreePath};
use crate::lock::{Action, PackageKind, PlatformLock};

/// The two trees.
pub(super) struct System {
    /// Goes below all packages: links of the merged `/usr`, mount points, accounts.
    pub base: Tree,
    /// Goes above them: alternatives, certificates, the loader's cache.
    pub top: Tree,
}

impl System {
    /// Makes both trees for these packages. Fails where that takes other actions than the lock has.
    pub(super) fn make(inputs: &Inputs<'_>, lock: &PlatformLock, unpacked: &[Unpacked]) -> Result<Self> {
        let worlds = inputs.worlds;
        let configured = worlds.configure(unpacked, inputs.manifest.image.user, inputs.manifest.system.scripts)?;
        check(&lock.actions, &configured.actions)?;
        for warning in &configured.warnings {
            worlds.report().warn(warning.to_string(), None);
        }
        let mut top = configured.top;
        add_loader_cache(inputs, unpacked, &configured.base, &mut top)?;
        Ok(Self { base: configured.base, top })
    }
}

/// Another version of mlpack knows maintainer scripts better, or worse, than the one that wrote the lock.
#[derive(Debug, thiserror::Error)]
#[error("what stands for the packages' scripts is no longer what was locked:\n{}", changes.join("\n"))]
struct ActionsError {
    /// The actions that differ, with `-` for what was locked and `+` for what would be done now.
    changes: Vec<String>,
}

impl Diagnose for ActionsError {
    fn exit(&self) -> Exit {
        Exit::Manifest
    }

    fn hints(&self) -> Vec<String> {
        vec!["run `mlpack lock --update`, or build with the version of mlpack that wrote the lock".to_owned()]
    }
}

/// A lock from before actions were kept has none, though every image has some.
#[derive(Debug, thiserror::Error)]
#[error("the lock does not say what stands for the packages' scripts: an earlier mlpack wrote it")]
struct NoActions;

impl Diagnose for NoActions {
    fn exit(&self) -> Exit {
        Exit::Manifest
    }

    fn hints(&self) -> Vec<String> {
        vec!["run `mlpack lock --update`".to_owned()]
    }
}

fn check(locked: &[Action], now: &[Action]) -> Result<()> {
    if locked.is_empty() && !now.is_empty() {
        return Err(NoActions.into());
    }
    let lines = |sign: char, actions: &[Action], others: &[Action]| -> Vec<String> {
        let differing = actions.iter().filter(|action| !others.contains(action));
        differing.map(|Action { package, does }| format!("{sign} {package}: {does}")).collect()
    };
    let changes = [lines('-', locked, now), lines('+', now, locked)].concat();
    if changes.is_empty() { Ok(()) } else { Err(ActionsError { changes }.into()) }
}

/// Writes `/etc/ld.so.cache`, and the links named like the libraries' sonames where a package lacks them.
///
/// Without it `ctypes.util.find_library` finds nothing, and every start searches all folders.
fn add_loader_cache(inputs: &Inputs<'_>, unpacked: &[Unpacked], base: &Tree, top: &mut Tree) -> Result<()> {
    let worlds = inputs.worlds;
    let is_deb = |unpacked: &&Unpacked| unpacked.package.kind == PackageKind::Deb;
    let Some(libc) = unpacked.iter().find(|unpacked| unpacked.package.name == "libc6") else { return Ok(()) };
    let mut whole = base.clone();
    let mut objects = Vec::new();
    for package in unpacked.iter().filter(is_deb) {
        whole.merge(package.tree.clone())?;
        objects.extend(worlds.scan(&package.tree)?);
    }
    whole.merge(top.clone())?;
    let folders = ldconfig::folders(worlds.blobs(), &whole)?;
    let libraries = ldconfig::Libraries::find(&whole, &objects, &folders, worlds.platform());
    for (path, target) in libraries.links() {
        top.insert(path.clone(), Node::symlink(target.clone()));
    }
    let bytes = cache::encode(&libraries, &cache::generator(&libc.package.version));
    let path = TreePath::new("etc/ld.so.cache").expect("the path is a constant");
    top.insert(path, Node::file(Content::inline(bytes), 0o644));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_actions_than_the_locked_ones_are_named() {
        let action = |does: &str| Action { package: "mawk".to_owned(), does: does.to_owned() };
        let (both, old, new) = (action("folder a"), action("alternative awk: /b"), action("alternative awk: /c"));
        assert!(check(&[both.clone(), old.clone()], &[both.clone(), old.clone()]).is_ok());
        let error = check(&[both.clone(), old], &[both, new]).unwrap_err();
        let expected = "what stands for the packages' scripts is no longer what was locked:\n\
                        - mawk: alternative awk: /b\n+ mawk: alternative awk: /c";
        assert_eq!(error.to_string(), expected);
    }
}
