//! The parts of an image, lowest first, as file trees: each becomes one layer.

use std::collections::BTreeMap;

use super::{Inputs, bytecode, plan, system};
use crate::compile;
use crate::ecosystem::Unpacked;
use crate::error::Result;
use crate::fs;
use crate::inventory::reasons;
use crate::layer::FIXED_MTIME;
use crate::layer::tree::{Content, Node, Source, Tree, TreePath};
use crate::lock::PlatformLock;
use crate::project::{Assets, Project};
use crate::service::{self, MANIFEST_FILE, OPENAPI_FILE, ROOT, SERVER_PROGRAM, SERVICE_FILE};

/// An artifact or dataset of this many bytes gets a layer of its own.
const LARGE: u64 = 32 << 20;

/// A named tree that becomes a layer.
#[derive(Debug)]
pub(super) struct Part {
    /// The layer's name, such as `base` or `numpy`.
    pub name: String,
    /// Its files.
    pub tree: Tree,
}

/// The parts that no file of the project touches.
pub(super) fn dependency_parts(inputs: &Inputs<'_>, lock: &PlatformLock) -> Result<Vec<Part>> {
    let mut unpacked = compile::unpack(inputs.worlds, lock)?;
    for package in &mut unpacked {
        package.tree.retain(|path, _| !inputs.runtime.leaves_out(path));
    }
    let system = system::System::make(inputs, lock, &unpacked)?;
    let mut parts = package_parts(inputs, lock, &unpacked, system.base)?;
    let whole = whole(parts.iter().map(|part| &part.tree).chain([&system.top]))?;
    if let Some(tree) = bytecode::compile(inputs, &unpacked, whole)? {
        parts.push(Part { name: "bytecode".to_owned(), tree });
    }
    let mut top = system.top;
    top.insert(path(reasons::FILE), Node::file(Content::inline(reasons::write(lock)), 0o644));
    parts.push(Part { name: "system".to_owned(), tree: top });
    parts.push(Part { name: "server".to_owned(), tree: server(inputs, lock) });
    for part in &mut parts {
        clamp(&mut part.tree, lock.date);
    }
    Ok(parts)
}

/// The parts made of the project's files: datasets, artifacts, those of each version, and on top the service code.
pub(super) fn project_parts(inputs: &Inputs<'_>, project: &Project) -> Vec<Part> {
    let mut parts = asset_parts("datasets", &project.datasets);
    parts.extend(asset_parts("artifacts", &project.artifacts));
    for (version, artifacts) in &project.versions {
        parts.extend(asset_parts(&format!("versions/{version}"), artifacts));
    }
    parts.push(Part { name: "service".to_owned(), tree: service_tree(inputs, project) });
    parts
}

fn whole<'a>(trees: impl Iterator<Item = &'a Tree>) -> Result<Tree> {
    let mut whole = Tree::new();
    for tree in trees {
        whole.merge(tree.clone())?;
    }
    Ok(whole)
}

fn package_parts(inputs: &Inputs<'_>, lock: &PlatformLock, unpacked: &[Unpacked], base: Tree) -> Result<Vec<Part>> {
    let trees: BTreeMap<_, _> =
        unpacked.iter().map(|unpacked| ((unpacked.package.kind, &unpacked.package.name), &unpacked.tree)).collect();
    let mut parts = Vec::new();
    let mut base = Some(base);
    for group in plan::groups(&lock.packages, inputs.runtime) {
        // What every image has goes below the first packages.
        let mut tree = base.take().unwrap_or_default();
        for package in group.packages {
            tree.merge(trees[&(package.kind, &package.name)].clone())?;
        }
        parts.push(Part { name: group.name, tree });
    }
    Ok(parts)
}

fn server(inputs: &Inputs<'_>, lock: &PlatformLock) -> Tree {
    let content = Content {
        digest: lock.server.sha256,
        length: lock.server.size,
        source: Source::Project(inputs.server.clone()),
    };
    let mut tree = Tree::new();
    tree.insert(path(SERVER_PROGRAM), Node::file(content, 0o755));
    for (file, text) in &inputs.runtime.worker {
        tree.insert(path(file), Node::file(Content::inline(text.as_bytes()), 0o644));
    }
    tree
}

fn asset_parts(name: &str, assets: &Assets) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut small = Tree::new();
    for (asset_name, (tree, asset)) in assets {
        if asset.size >= LARGE {
            parts.push(Part { name: format!("{name}/{asset_name}"), tree: tree.clone() });
        } else {
            for (path, node) in tree.iter() {
                small.insert(path.clone(), node.clone());
            }
        }
    }
    if !small.is_empty() {
        parts.push(Part { name: name.to_owned(), tree: small });
    }
    parts
}

/// The service code, and the contract, document and manifest that describe it.
fn service_tree(inputs: &Inputs<'_>, project: &Project) -> Tree {
    let service = super::service(inputs.manifest, inputs.runtime, project);
    let json = |value: &serde_json::Value| {
        let mut bytes = serde_json::to_vec_pretty(value).expect("a JSON value can always be written");
        bytes.push(b'\n');
        bytes
    };
    let contract = serde_json::to_value(&service).expect("the contract is plain data");
    let mut tree = project.code.clone();
    for (name, bytes) in [
        (SERVICE_FILE, json(&contract)),
        (OPENAPI_FILE, json(&service::openapi::document(&service))),
        (MANIFEST_FILE, inputs.manifest.text.clone().into_bytes()),
    ] {
        tree.insert(path(&format!("{ROOT}/{name}")), Node::file(Content::inline(bytes), 0o644));
    }
    let mtime = inputs.epoch.unwrap_or(FIXED_MTIME);
    tree.into_iter().map(|(path, node)| (path, Node { mtime, ..node })).collect()
}

/// No file is younger than the release: a package that says otherwise would make the layer depend on its clock.
fn clamp(tree: &mut Tree, date: i64) {
    let nodes = std::mem::take(tree).into_iter();
    *tree =
        nodes.map(|(path, node)| (path, Node { mtime: node.mtime.clamp(0, date.max(FIXED_MTIME)), ..node })).collect();
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("the path is put together from constants")
}

/// Returns the size and digest of the server program, as the lock records it.
pub fn server_lock(server: &std::path::Path) -> fs::Result<crate::lock::ServerLock> {
    let bytes = fs::read(server)?;
    Ok(crate::lock::ServerLock {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: crate::digest::Digest::of(&bytes),
        size: bytes.len() as u64,
    })
}
