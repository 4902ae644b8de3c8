//! The file trees that compilers run in, laid out on disk once: the toolchain, and on top what one package needs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::tools;
use crate::digest::Digest;
use crate::ecosystem::{Unpacked, Worlds};
use crate::error::Result;
use crate::event::Event;
use crate::fetch::derived::Derived;
use crate::layer::tree::Tree;
use crate::lock::Package;
use crate::manifest::Scripts;

/// The user that compilers run as; it has no file of its own.
const USER: u32 = 10001;

/// Raised whenever the same packages would be laid out in another way.
const FORMAT: u32 = 1;

/// Lays out trees, and tells them apart.
pub(super) struct Trees<'a> {
    worlds: &'a Worlds,
    tools: &'a [Package],
    /// One tree is laid out at a time: they share most of what has to be fetched.
    turn: Mutex<()>,
}

impl<'a> Trees<'a> {
    /// Returns the trees made of `tools`, each of which says by its reasons what it is for.
    pub(super) fn new(worlds: &'a Worlds, tools: &'a [Package]) -> Self {
        Self { worlds, tools, turn: Mutex::default() }
    }

    /// Returns a digest of all that the tree of a package holds.
    pub(super) fn digest(&self, name: &str) -> Digest {
        let (toolchain, own) = tools::of(self.tools, name);
        let mut digests: Vec<_> = toolchain.into_iter().chain(own).map(|package| package.sha256).collect();
        digests.sort();
        Derived::key("compilers", &(FORMAT, digests))
    }

    /// Returns the folders of a package's tree, the lowest first.
    pub(super) fn lay_out(&self, name: &str) -> Result<Vec<PathBuf>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (toolchain, own) = tools::of(self.tools, name);
        let key = |packages: &[&Package]| {
            let digests: Vec<_> = packages.iter().map(|package| package.sha256).collect();
            Derived::key("compilers-layer", &(FORMAT, digests))
        };
        let whole: Vec<_> = toolchain.iter().chain(&own).copied().collect();
        let unpacked = self.worlds.unpack(&whole.into_iter().cloned().collect::<Vec<_>>())?;
        let (base, top) = self.configure(&unpacked)?;
        let (lower, upper) = unpacked.split_at(toolchain.len());
        Ok(vec![
            self.worlds.lay_out(&key(&toolchain), &merge(base, lower)?)?,
            // What the scripts would have made depends on all of them.
            self.worlds.lay_out(&Derived::key("compilers-top", &(key(&toolchain), key(&own))), &merge(top, upper)?)?,
        ])
    }

    /// Returns what goes below and above the packages.
    fn configure(&self, unpacked: &[Unpacked]) -> Result<(Tree, Tree)> {
        // Whatever the manifest says of scripts, it says of the image.
        let configured = self.worlds.configure(unpacked, USER, Scripts::default())?;
        for warning in &configured.warnings {
            self.worlds.report().event(Event::Detail { message: warning.to_string() });
        }
        Ok((configured.base, configured.top))
    }
}

fn merge(mut tree: Tree, unpacked: &[Unpacked]) -> Result<Tree> {
    for package in unpacked {
        tree.merge(package.tree.clone())?;
    }
    Ok(tree)
}
