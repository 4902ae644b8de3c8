//! The project's own part of an image: service code, artifacts and datasets, with their digests.
//!
//! Files are hashed once and remembered by what the system knows of them (size, times, inode), so that a build in which
//! nothing changed reads no artifact. Their bytes are checked against the digest again when a layer is written.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use crate::digest::{Digest, HashingWriter};
use crate::error::{Diagnose, Exit};
use crate::fetch::derived::Derived;
use crate::fs;
use crate::layer::tree::{Content, Node, PathError, Source, Tree, TreePath};
use crate::manifest::{AssetFile, Manifest, Version};
use crate::service::{Asset, ROOT};

/// A file changed less than this before it was hashed may change again without its times telling.
const RACY: Duration = Duration::from_secs(2);

/// Files and descriptions of assets, by name.
pub type Assets = BTreeMap<String, (Tree, Asset)>;

/// The project's files as they go into the image.
#[derive(Debug)]
pub struct Project {
    /// Service code, below `opt/mlpack/app`.
    pub code: Tree,
    /// The service file's absolute path in the image.
    pub service_file: String,
    /// The artifacts, where a version has no others.
    pub artifacts: Assets,
    /// The artifacts in which versions differ, by version.
    pub versions: BTreeMap<String, Assets>,
    /// The datasets.
    pub datasets: Assets,
}

/// A file of the project cannot go into the image.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A name that an image cannot hold.
    #[error("`{}` cannot be packed", file.display())]
    Path {
        /// The file.
        file: PathBuf,
        /// What is wrong with its name.
        source: PathError,
    },
    /// Something that is neither a file nor a folder, or has no name that an image can hold.
    #[error("`{}` is {kind}: only files and folders with readable names can be packed", file.display())]
    Kind {
        /// The path.
        file: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A folder could not be walked.
    #[error("failed to list `{}`", folder.display())]
    Walk {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: walkdir::Error,
    },
}

impl Diagnose for ProjectError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            _ => Exit::Manifest,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Kind { .. } => {
                vec!["replace it by a copy of what it stands for, or name that file in the manifest".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl Project {
    /// Reads everything of the project that `manifest` names.
    pub fn read(manifest: &Manifest, derived: &Derived) -> Result<Self, ProjectError> {
        let reader = Reader { derived };
        let mut code = Tree::new();
        let service_file = app_path(&manifest.root, &manifest.service.file);
        let further = manifest.code.iter().map(|file| manifest.root.join(file));
        for file in std::iter::once(manifest.service.file.clone()).chain(further) {
            reader.add(&file, &app_path(&manifest.root, &file), &mut code)?;
        }
        Ok(Self {
            code,
            service_file: format!("/{service_file}"),
            artifacts: reader.assets(&manifest.artifacts, "artifacts")?,
            versions: reader.versions(&manifest.versions)?,
            datasets: reader.assets(&manifest.datasets, "datasets")?,
        })
    }

    /// Returns the digest of everything in it: names, contents and what is said of them.
    pub fn digest(&self) -> Digest {
        let datasets = self.datasets.values().map(|(tree, _)| tree);
        let trees = [&self.code].into_iter().chain(self.all_artifacts().map(|(_, tree)| tree)).chain(datasets);
        let mut listing = String::new();
        for (path, node) in trees.flat_map(Tree::iter) {
            use std::fmt::Write as _;
            let digest = node.content().map(|content| content.digest.hex()).unwrap_or_default();
            writeln!(listing, "{path}\0{:o}\0{digest}", node.mode).expect("writing to a String cannot fail");
        }
        Digest::of(listing.as_bytes())
    }

    /// Returns all artifacts, each with what a lock calls it.
    pub fn all_artifacts(&self) -> impl Iterator<Item = (String, &Tree)> {
        let own = self.artifacts.iter().map(|(name, (tree, _))| (format!("artifact:{name}"), tree));
        own.chain(self.versions.iter().flat_map(|(version, assets)| {
            assets.iter().map(move |(name, (tree, _))| (format!("artifact:{name}@{version}"), tree))
        }))
    }

    /// Returns the artifacts of a version.
    pub fn artifacts_of(&self, version: &str) -> BTreeMap<String, Asset> {
        let own = self.versions.get(version);
        let assets = self.artifacts.iter().chain(own.into_iter().flatten());
        assets.map(|(name, (_, asset))| (name.clone(), asset.clone())).collect()
    }
}

/// Where a file of the project stands in the image, without a leading slash.
fn app_path(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap_or(file);
    format!("{ROOT}/app/{}", inside.to_string_lossy())
}

struct Reader<'a> {
    derived: &'a Derived,
}

impl Reader<'_> {
    /// Reads the artifacts in which versions differ. They lie apart from all others, so that their layers stay the same whatever
    /// other versions there are.
    fn versions(&self, versions: &[Version]) -> Result<BTreeMap<String, Assets>, ProjectError> {
        let differing = versions.iter().filter(|version| !version.artifacts.is_empty());
        let read = |version: &Version| {
            let assets = self.assets(&version.artifacts, &format!("versions/{}", version.name))?;
            Ok((version.name.clone(), assets))
        };
        differing.map(read).collect()
    }

    fn assets(&self, files: &BTreeMap<String, AssetFile>, folder: &str) -> Result<Assets, ProjectError> {
        let read = |(name, file): (&String, &AssetFile)| {
            let target =
                format!("{ROOT}/{folder}/{name}/{}", file.path.file_name().unwrap_or_default().to_string_lossy());
            let mut tree = Tree::new();
            self.add(&file.path, &target, &mut tree)?;
            let asset = Asset {
                path: format!("/{target}"),
                size: tree.content_length(),
                digest: asset_digest(&tree),
                license: file.license.clone(),
                description: file.description.clone(),
            };
            Ok((name.clone(), (tree, asset)))
        };
        files.iter().map(read).collect()
    }

    /// Adds a file, or a folder with all that is in it, at `target`.
    fn add(&self, file: &Path, target: &str, tree: &mut Tree) -> Result<(), ProjectError> {
        for entry in WalkDir::new(file).follow_root_links(true).sort_by_file_name() {
            let entry = entry.map_err(|source| ProjectError::Walk { folder: file.to_owned(), source })?;
            let refuse = |kind| ProjectError::Kind { file: entry.path().to_owned(), kind };
            if entry.path_is_symlink() && entry.depth() > 0 {
                return Err(refuse("a symbolic link"));
            }
            let inside = entry.path().strip_prefix(file).unwrap_or(entry.path());
            let inside = inside.to_str().ok_or_else(|| refuse("named in another encoding than UTF-8"))?;
            if is_scrap(inside) {
                continue;
            }
            let target = if inside.is_empty() { target.to_owned() } else { format!("{target}/{inside}") };
            let path = TreePath::new(&target)
                .map_err(|source| ProjectError::Path { file: entry.path().to_owned(), source })?;
            let metadata = fs::metadata(entry.path())?;
            let node = if metadata.is_dir() {
                Node::directory()
            } else if metadata.is_file() {
                // Permissions depend on the umask of whoever made the file; only "executable" means something.
                let mode = if metadata.mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                Node::file(self.content(entry.path(), &metadata)?, mode)
            } else {
                return Err(refuse("neither a file nor a folder"));
            };
            tree.insert(path, node);
        }
        Ok(())
    }

    fn content(&self, file: &Path, metadata: &Metadata) -> fs::Result<Content> {
        let identity = (
            file.to_string_lossy(),
            metadata.len(),
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
            (metadata.dev(), metadata.ino()),
        );
        let key = Derived::key("project-file", &identity);
        let source = Source::Project(file.to_owned());
        if let Some(digest) = self.derived.get(&key) {
            return Ok(Content { digest, length: metadata.len(), source });
        }
        let mut writer = HashingWriter::new(io::sink());
        io::copy(&mut io::BufReader::with_capacity(1 << 20, fs::open(file)?), &mut writer)
            .map_err(fs::Error::wrap("read", file))?;
        let (_, digest, length) = writer.finish();
        if is_settled(metadata) {
            self.derived.put(&key, &digest)?;
        }
        Ok(Content { digest, length, source })
    }
}

/// Whether a file last changed long enough ago for its times to tell the next change.
fn is_settled(metadata: &Metadata) -> bool {
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(metadata.ctime().max(0) as u64);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > RACY)
}

/// Whether a path inside a packed folder is left over from running or editing the code.
fn is_scrap(inside: &str) -> bool {
    inside
        .split('/')
        .any(|part| matches!(part, "__pycache__" | ".git" | ".ipynb_checkpoints" | ".Rhistory" | ".DS_Store"))
        || inside.ends_with(".pyc")
}

/// A single file's own digest; for a folder, the digest over its sorted names and digests.
fn asset_digest(tree: &Tree) -> Digest {
    let mut contents = tree.iter().filter_map(|(path, node)| Some((path, node.content()?.digest)));
    match (contents.next(), contents.next()) {
        (Some((_, digest)), None) => digest,
        _ => {
            let listing: Vec<_> =
                tree.iter().map(|(path, node)| (path, node.content().map(|content| content.digest))).collect();
            Digest::of(&serde_json::to_vec(&listing).expect("paths and digests are plain data"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn read(file: &Path) -> Result<Tree, ProjectError> {
        let derived = tempfile::tempdir().unwrap();
        let mut tree = Tree::new();
        Reader { derived: &Derived::new(derived.path()) }.add(file, "opt/x", &mut tree)?;
        Ok(tree)
    }

    #[test]
    fn permissions_say_only_whether_a_file_is_a_program() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("data", 0o600), ("open", 0o666), ("program", 0o700)] {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(folder.path().join("__pycache__")).unwrap();
        let tree = read(folder.path()).unwrap();
        let listed: Vec<_> = tree.iter().map(|(path, node)| (path.as_str(), node.mode)).collect();
        assert_eq!(listed, [("opt/x", 0o755), ("opt/x/data", 0o644), ("opt/x/open", 0o644), ("opt/x/program", 0o755)]);
    }

    #[test]
    fn a_link_in_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", folder.path().join("secrets")).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, ProjectError::Kind { kind: "a symbolic link", .. }), "{error}");
    }

    #[test]
    fn a_file_that_just_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let derived = tempfile::tempdir().unwrap();
        let derived = Derived::new(derived.path());
        let file = folder.path().join("model");
        let digest = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let mut tree = Tree::new();
            Reader { derived: &derived }.add(&file, "opt/x", &mut tree).unwrap();
            tree.get("opt/x").unwrap().content().unwrap().digest
        };
        assert_eq!(digest("one"), Digest::of(b"one"));
        assert_eq!(digest("two"), Digest::of(b"two"));
    }
}
