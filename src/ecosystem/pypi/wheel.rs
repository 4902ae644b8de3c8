//! Turns a verified wheel into the file tree that it installs.
//!
//! Follows the packaging specification "Binary distribution format": `.data` folders are relocated, scripts get the
//! image's interpreter, entry points become programs, and `RECORD` is checked on the way in and written anew. Nothing is
//! written but into the content store. It compiles nothing (see [`super::bytecode`]) and chooses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::installed::{self, Recorded};
use super::name::{WheelName, normalise, same_version};
use super::zip::{Archive, Entry, ZipError};
use super::{Python, cache};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::derived::Derived;
use crate::fetch::pack::PackWriter;
use crate::fetch::{Blob, BlobStore};
use crate::fs;
use crate::layer::tree::{Content, Node, PathError, Tree, TreePath};
use crate::lock::Package;
use crate::platform::Platform;

const MAX_TEXT: u64 = 32 << 20;
const MAX_SCRIPT: u64 = 64 << 20;

/// A wheel cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The archive is not a sound zip archive.
    #[error("wheel `{wheel}` is refused")]
    Archive {
        /// The wheel's file name.
        wheel: String,
        /// What is wrong.
        source: ZipError,
    },
    /// A path has no place in an image.
    #[error("wheel `{wheel}` is refused")]
    Path {
        /// The wheel's file name.
        wheel: String,
        /// What is wrong.
        source: PathError,
    },
    /// The wheel breaks the wheel specification.
    #[error("wheel `{wheel}` is refused: {problem}")]
    Invalid {
        /// The wheel's file name.
        wheel: String,
        /// What is wrong, with the file's name.
        problem: String,
    },
    /// The wheel is for something else.
    #[error("wheel `{wheel}` is not for Python {python} on {platform}")]
    Unfit {
        /// The wheel's file name.
        wheel: String,
        /// The image's Python.
        python: Python,
        /// The image's platform.
        platform: Platform,
    },
}

impl Diagnose for WheelError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Unfit { .. } => Exit::Manifest,
            _ => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Unfit { .. } => vec!["run `mlpack lock --update` to choose again".to_owned()],
            _ => vec![
                "the wheel has the locked hash, so it was published like this: choose another version of the package"
                    .to_owned(),
            ],
        }
    }
}

/// Returns the files that a wheel installs. The unpacked bytes are kept in the store, so that a second call is cheap.
pub fn unpack(
    store: &BlobStore,
    derived: &Derived,
    package: &Package,
    blob: &Blob,
    python: &Python,
    platform: Platform,
) -> Result<Tree, WheelError> {
    let key = key(&blob.digest, package, python);
    check_fit(package, python, platform)?;
    if let Some(tree) = cache::get(derived, store, &key)? {
        return Ok(tree);
    }
    let tree = Unpacker::new(store, package, blob, python)?.run()?;
    derived.put(&key, &tree)?;
    Ok(tree)
}

/// Returns what unpacking the file that the lock names gave before; whether the store still has its pack is not looked at.
pub fn known(
    derived: &Derived,
    package: &Package,
    python: &Python,
    platform: Platform,
) -> Result<Option<Tree>, WheelError> {
    check_fit(package, python, platform)?;
    Ok(derived.get(&key(&package.sha256, package, python)))
}

fn key(file: &Digest, package: &Package, python: &Python) -> Digest {
    let inputs = (crate::layer::FORMAT, file, &package.path, &package.name, &package.version, python.version());
    Derived::key("wheel", &inputs)
}

fn check_fit(package: &Package, python: &Python, platform: Platform) -> Result<(), WheelError> {
    let fits = WheelName::parse(&package.path).is_some_and(|wheel| wheel.fits(python, platform));
    if fits { Ok(()) } else { Err(WheelError::Unfit { wheel: package.path.clone(), python: python.clone(), platform }) }
}

/// Where the parts of a wheel go in the image.
struct Scheme<'a> {
    python: &'a Python,
    wheel: &'a WheelName,
    data: String,
}

impl Scheme<'_> {
    /// Returns the path in the image, and whether it is a script; `None` for an unknown part.
    fn place(&self, name: &str) -> Option<(String, bool)> {
        let Some(rest) = name.strip_prefix(&self.data).and_then(|rest| rest.strip_prefix('/')) else {
            return Some((format!("{}/{name}", self.python.site()), false));
        };
        let (part, rest) = rest.split_once('/')?;
        let folder = match part {
            "purelib" | "platlib" => self.python.site(),
            "scripts" => "usr/local/bin".to_owned(),
            "data" => "usr/local".to_owned(),
            "headers" => format!("usr/local/include/python{}/{}", self.python.version(), self.wheel.name),
            _ => return None,
        };
        Some((format!("{folder}/{rest}"), part == "scripts"))
    }
}

struct Unpacker<'a> {
    package: &'a Package,
    python: &'a Python,
    wheel: WheelName,
    archive: Archive,
    /// The wheel's `.dist-info` folder.
    info: String,
    pack: PackWriter,
    /// The store's folder, for errors.
    root: PathBuf,
    /// What was written, with hash and size for the new RECORD.
    written: BTreeMap<TreePath, (Digest, u64)>,
}

impl<'a> Unpacker<'a> {
    fn new(store: &BlobStore, package: &'a Package, blob: &Blob, python: &'a Python) -> Result<Self, WheelError> {
        let refuse = |source| WheelError::Archive { wheel: package.path.clone(), source };
        let invalid = |problem: &str| WheelError::Invalid { wheel: package.path.clone(), problem: problem.to_owned() };
        let wheel = WheelName::parse(&package.path).ok_or_else(|| invalid("its file name is not a wheel's"))?;
        let archive = Archive::open(blob.open()?).map_err(refuse)?;
        let tops: BTreeSet<_> =
            archive.entries().iter().filter_map(|entry| entry.name.split_once('/')).map(|(top, _)| top).collect();
        let mut infos = tops.iter().filter(|top| top.ends_with(".dist-info"));
        let info = match (infos.next(), infos.next()) {
            (Some(info), None) => (*info).to_owned(),
            _ => return Err(invalid("it has not exactly one `.dist-info` folder")),
        };
        Ok(Self {
            package,
            python,
            wheel,
            archive,
            info,
            pack: PackWriter::new(store)?,
            root: store.root().to_owned(),
            written: BTreeMap::new(),
        })
    }

    fn run(mut self) -> Result<Tree, WheelError> {
        self.check_identity()?;
        let mut recorded = installed::parse_record(&self.text("RECORD")?).map_err(|problem| self.invalid(problem))?;
        let scheme_wheel = self.wheel.clone();
        let data = format!("{}.data", self.info.trim_end_matches(".dist-info"));
        let scheme = Scheme { python: self.python, wheel: &scheme_wheel, data };
        for entry in self.archive.entries().to_vec() {
            self.add_entry(&entry, &scheme, &mut recorded)?;
        }
        // Python compiles its own: rows for compiled modules that are not there harm nobody.
        if let Some(path) = recorded.keys().find(|path| !is_compiled(path)) {
            return Err(self.invalid(format!("RECORD lists `{}`, which it does not have", path.escape_debug())));
        }
        self.add_programs()?;
        self.add_record()?;
        let mut tree = self.pack.finish()?;
        tree.add_parents();
        Ok(tree)
    }

    /// Checks that the wheel is the locked package, whatever its file is called.
    fn check_identity(&self) -> Result<(), WheelError> {
        let metadata = self.text("METADATA")?;
        let name = installed::header(&metadata, "Name").unwrap_or_default();
        let version = installed::header(&metadata, "Version").unwrap_or_default();
        let Package { name: locked, version: locked_version, .. } = self.package;
        if normalise(name) != *locked || self.wheel.name != *locked {
            return Err(self.invalid(format!("its METADATA names the package `{name}`, expected `{locked}`")));
        }
        if !same_version(version, locked_version) || !same_version(&self.wheel.version, locked_version) {
            return Err(self.invalid(format!("its METADATA gives version `{version}`, expected `{locked_version}`")));
        }
        let folder = self.info.trim_end_matches(".dist-info").split_once('-');
        if !folder.is_some_and(|(name, version)| normalise(name) == *locked && same_version(version, locked_version)) {
            return Err(self.invalid(format!("its folder `{}` is another package's", self.info)));
        }
        let wheel = self.text("WHEEL")?;
        match installed::header(&wheel, "Wheel-Version") {
            Some(version) if version.split('.').next() == Some("1") => Ok(()),
            _ => Err(self.invalid("its WHEEL file has not format version 1")),
        }
    }

    fn add_entry(
        &mut self,
        entry: &Entry,
        scheme: &Scheme<'_>,
        recorded: &mut BTreeMap<String, Recorded>,
    ) -> Result<(), WheelError> {
        let row = recorded.remove(&entry.name);
        if self.is_own_record(&entry.name) || is_compiled(&entry.name) {
            return Ok(());
        }
        let Some(Some((digest, size))) = row else {
            return Err(self.invalid(format!("RECORD has no hash for `{}`", entry.name)));
        };
        let unknown = || self.invalid(format!("`{}` is in an unknown part of its data folder", entry.name));
        let (place, is_script) = scheme.place(&entry.name).ok_or_else(unknown)?;
        let path = self.path(&place)?;
        let found = if is_script { self.add_script(entry, path)? } else { self.add_plain(entry, path)? };
        if found.0 != digest || size.is_some_and(|size| size != found.1) {
            return Err(self.invalid(format!("`{}` is not what RECORD says", entry.name)));
        }
        Ok(())
    }

    /// Adds a file as it is; returns its hash and size.
    fn add_plain(&mut self, entry: &Entry, path: TreePath) -> Result<(Digest, u64), WheelError> {
        let bytes = self.archive.reader(entry).map_err(|source| self.unreadable(source))?;
        let mode = if entry.executable { 0o755 } else { 0o644 };
        self.write(path, mode, bytes)
    }

    /// Adds a program, with the image's interpreter in place of `#!python`; returns the packed file's hash and size.
    fn add_script(&mut self, entry: &Entry, path: TreePath) -> Result<(Digest, u64), WheelError> {
        let head = self.head(entry)?;
        if !head.starts_with(b"#!python") {
            let bytes = self.archive.reader(entry).map_err(|source| self.unreadable(source))?;
            return self.write(path, 0o755, bytes);
        }
        let bytes = self.archive.read(entry, MAX_SCRIPT).map_err(|source| self.refuse(source))?;
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let script = [b"#!", self.python.interpreter().as_bytes(), &bytes[end..]].concat();
        self.write(path, 0o755, &script[..])?;
        Ok((Digest::of(&bytes), bytes.len() as u64))
    }

    fn head(&self, entry: &Entry) -> Result<Vec<u8>, WheelError> {
        let mut head = Vec::new();
        let reader = self.archive.reader(entry).map_err(|source| self.unreadable(source))?;
        reader.take(8).read_to_end(&mut head).map_err(|source| self.unreadable(source))?;
        Ok(head)
    }

    fn add_programs(&mut self) -> Result<(), WheelError> {
        let name = format!("{}/entry_points.txt", self.info);
        if self.archive.find(&name).is_none() {
            return Ok(());
        }
        let points = installed::parse_entry_points(&self.text("entry_points.txt")?);
        for point in points.map_err(|problem| self.invalid(problem))? {
            let path = self.path(&format!("usr/local/bin/{}", point.name))?;
            let script = point.script(&self.python.interpreter());
            // A wheel that names a program twice, or brings it ready-made as well, gets the one it brings.
            if !self.written.contains_key(&path) {
                self.write(path, 0o755, script.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes INSTALLER and the new RECORD, in the same order as the tree.
    fn add_record(&mut self) -> Result<(), WheelError> {
        let info = format!("{}/{}", self.python.site(), self.info);
        let installer = self.path(&format!("{info}/INSTALLER"))?;
        self.write(installer, 0o644, &b"mlpack\n"[..])?;
        let mut text = String::new();
        for (path, recorded) in &self.written {
            text += &installed::record_row(&relative(path.as_str(), &self.python.site()), Some(*recorded));
        }
        text += &installed::record_row(&format!("{}/RECORD", self.info), None);
        let record = self.path(&format!("{info}/RECORD"))?;
        self.write(record, 0o644, text.as_bytes())?;
        Ok(())
    }

    fn write(&mut self, path: TreePath, mode: u32, mut bytes: impl io::Read) -> Result<(Digest, u64), WheelError> {
        if self.written.contains_key(&path) {
            return Err(self.invalid(format!("two of its files go to `{path}`")));
        }
        let attributes = Node { mode, ..Node::directory() };
        let content = self.pack.add_file(path.clone(), attributes, &mut bytes);
        let Content { digest, length, .. } = content.map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                self.unreadable(source)
            }
            // A full disk is not the wheel's fault.
            _ => fs::Error { action: "unpack into", path: self.root.clone(), source }.into(),
        })?;
        self.written.insert(path, (digest, length));
        Ok((digest, length))
    }

    /// Whether a file is replaced by mlpack's own, or no longer true once RECORD is written anew.
    fn is_own_record(&self, name: &str) -> bool {
        let name = name.strip_prefix(&self.info).unwrap_or_default();
        matches!(name, "/RECORD" | "/RECORD.jws" | "/RECORD.p7s" | "/INSTALLER" | "/REQUESTED" | "/direct_url.json")
    }

    fn text(&self, name: &str) -> Result<String, WheelError> {
        let path = format!("{}/{name}", self.info);
        let entry = self.archive.find(&path).ok_or_else(|| self.invalid(format!("it has no `{path}`")))?;
        let bytes = self.archive.read(entry, MAX_TEXT).map_err(|source| self.refuse(source))?;
        String::from_utf8(bytes).map_err(|_| self.invalid(format!("its `{path}` is not UTF-8")))
    }

    fn path(&self, path: &str) -> Result<TreePath, WheelError> {
        TreePath::new(path).map_err(|source| WheelError::Path { wheel: self.package.path.clone(), source })
    }

    fn invalid(&self, problem: impl Into<String>) -> WheelError {
        WheelError::Invalid { wheel: self.package.path.clone(), problem: problem.into() }
    }

    fn refuse(&self, source: ZipError) -> WheelError {
        WheelError::Archive { wheel: self.package.path.clone(), source }
    }

    fn unreadable(&self, source: io::Error) -> WheelError {
        self.refuse(ZipError::Read(source))
    }
}

fn is_compiled(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension == "pyc" || extension == "pyo")
        || name.split('/').any(|part| part == "__pycache__")
}

/// Returns `path` as seen from the folder `from`.
fn relative(path: &str, from: &str) -> String {
    let (mut path, mut from) = (path.split('/').peekable(), from.split('/').peekable());
    while path.peek().is_some() && path.peek() == from.peek() {
        path.next();
        from.next();
    }
    from.map(|_| "..").chain(path).collect::<Vec<_>>().join("/")
}
