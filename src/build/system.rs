//! What depends on all Debian packages together: the base of the tree, and on top the emulated scripts' effects and the
//! loader's cache.

use super::Inputs;
use crate::ecosystem::Unpacked;
use crate::elf::{cache, ldconfig};
use crate::error::Result;
use crate::layer::tree::{Content, Node, Tree, TreePath};
use crate::lock::PackageKind;

/// The two trees.
pub(super) struct System {
    /// Goes below all packages: links of the merged `/usr`, mount points, accounts.
    pub base: Tree,
    /// Goes above them: alternatives, certificates, the loader's cache.
    pub top: Tree,
}

impl System {
    /// Makes both trees for these packages.
    pub(super) fn make(inputs: &Inputs<'_>, unpacked: &[Unpacked]) -> Result<Self> {
        let worlds = inputs.worlds;
        let configured = worlds.configure(unpacked, inputs.manifest.image.user, inputs.manifest.system.scripts)?;
        for warning in &configured.warnings {
            worlds.report().warn(warning.to_string(), None);
        }
        let mut top = configured.top;
        add_loader_cache(inputs, unpacked, &configured.base, &mut top)?;
        Ok(Self { base: configured.base, top })
    }
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
