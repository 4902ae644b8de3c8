//! Where an image can go from the local store: a folder, an archive, or an engine on this machine.
//!
//! Every file is written beside its place and moved there when it is whole, and what a layout held before stays as it
//! was until then. Registries are `registry`'s.

mod docker_archive;
mod engine;
mod layout;
mod oci_archive;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use docker_archive::DockerArchive;
pub use engine::Engine;
pub use layout::Layout;
pub use oci_archive::OciArchive;
use oci_spec::image::Descriptor;
use tempfile::NamedTempFile;

use super::document::{self, digest_of};
use super::store::{INDEX_FILE, LAYOUT, LAYOUT_FILE, layout_index};
use super::{Image, ImageError, ImageStore, REF_NAME, to_json};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fs;
use crate::layer::header::{BLOCK, Header, padding};
use crate::platform::Platform;

/// Takes images out of the local store.
pub trait Sink {
    /// Writes the image or index that `descriptor` names, under the name `reference` where one is given.
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError>;
}

/// An image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The text names no sink.
    #[error("unknown output `{0}`: expected oci:DIR, oci-archive:FILE, docker-archive:FILE, docker or podman")]
    Unknown(String),
    /// The folder holds something else.
    #[error("`{}` is in the way: it is not an image layout", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The form holds one platform only, and it is not clear which one.
    #[error("the image is for several platforms ({}), and this output takes one", platforms.join(", "))]
    Platforms {
        /// The platforms that the image is for.
        platforms: Vec<String>,
    },
    /// The engine's program cannot be started.
    #[error("failed to run `{program} load`")]
    Program {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The engine did not take the image.
    #[error("`{program} load` failed ({status}): {message}")]
    Engine {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// The last line of what it said.
        message: String,
    },
}

impl Diagnose for SinkError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Image(error) => error.exit(),
            Self::Unknown(_) | Self::Platforms { .. } => Exit::Usage,
            Self::Occupied { .. } => Exit::Failure,
            Self::Program { .. } | Self::Engine { .. } => Exit::CannotRun,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Image(error) => error.hints(),
            Self::Unknown(_) => Vec::new(),
            Self::Occupied { .. } => vec!["name a new folder, or remove this one yourself".to_owned()],
            Self::Platforms { .. } => vec!["build with one `--platform`, or write an OCI layout or archive".to_owned()],
            Self::Program { program, .. } => vec![format!(
                "install {program}, or write `--output oci-archive:FILE` and load the file where {program} is"
            )],
            Self::Engine { program, .. } => vec![format!(
                "see whether `{program} info` works; `--output docker-archive:FILE` writes the same image to a file"
            )],
        }
    }
}

/// Returns the sink that `text` names, as `--output` takes it.
pub fn parse(text: &str) -> Result<Box<dyn Sink + Send + Sync>, SinkError> {
    match text.split_once(':') {
        Some(("oci", folder)) if !folder.is_empty() => Ok(Box::new(Layout::new(folder))),
        Some(("oci-archive", file)) if !file.is_empty() => Ok(Box::new(OciArchive::new(file))),
        Some(("docker-archive", file)) if !file.is_empty() => Ok(Box::new(DockerArchive::new(file))),
        None if text == "docker" => Ok(Box::new(Engine::docker())),
        None if text == "podman" => Ok(Box::new(Engine::podman())),
        _ => Err(SinkError::Unknown(text.to_owned())),
    }
}

/// Returns the files of a layout that say what it is and what it holds.
fn layout_files(descriptor: &Descriptor, reference: Option<&str>) -> [(&'static str, Vec<u8>); 2] {
    let mut descriptor = descriptor.clone();
    descriptor.set_annotations(reference.map(|reference| [(REF_NAME.to_owned(), reference.to_owned())].into()));
    [(LAYOUT_FILE, LAYOUT.as_bytes().to_vec()), (INDEX_FILE, to_json(&layout_index(vec![descriptor])))]
}

/// Returns where a layout keeps a blob, relative to its root.
fn blob_name(descriptor: &Descriptor) -> Result<String, ImageError> {
    Ok(format!("blobs/sha256/{}", digest_of(descriptor)?.hex()))
}

/// Copies a part of an image to `out`. What does not have its digest and size is an error at the end.
fn copy_blob(store: &ImageStore, part: &Descriptor, out: &mut dyn Write, target: &Path) -> Result<(), SinkError> {
    let mut reader = document::open(store.blobs(), part)?;
    let digest = digest_of(part)?;
    copy(&mut reader, out, target, || damaged(store, digest))
}

/// Says that a blob is not what it must be. It goes, so that the next build or pull brings it again.
fn damaged(store: &ImageStore, digest: Digest) -> ImageError {
    // Looking a blob up checks it, and removes it where it is damaged.
    let _ = store.blobs().get(&digest);
    ImageError::Missing { digest }
}

/// Copies all of `reader` to `out`; `damaged` is what a failure to read means.
fn copy(
    reader: &mut dyn Read,
    out: &mut dyn Write,
    target: &Path,
    damaged: impl FnOnce() -> ImageError,
) -> Result<(), SinkError> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&buffer[..read]).map_err(fs::Error::wrap("write", target))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(damaged().into()),
        }
    }
}

/// Writes a tar archive of files that are all root's and have the fixed time.
struct TarWriter<'a> {
    out: &'a mut dyn Write,
    target: &'a Path,
}

impl TarWriter<'_> {
    fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), SinkError> {
        self.entry(path, bytes.len() as u64, |out, target| {
            Ok(out.write_all(bytes).map_err(fs::Error::wrap("write", target))?)
        })
    }

    /// Adds a file whose `size` bytes `content` writes.
    fn entry(
        &mut self,
        path: &str,
        size: u64,
        content: impl FnOnce(&mut dyn Write, &Path) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.put(&Header::file(path, size).encode())?;
        content(self.out, self.target)?;
        self.put(&[0; BLOCK][..padding(size)])
    }

    fn end(mut self) -> Result<(), SinkError> {
        self.put(&[0; 2 * BLOCK])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        Ok(self.out.write_all(bytes).map_err(fs::Error::wrap("write", self.target))?)
    }
}

/// Writes a file beside `path`, and moves it there when `write` is done.
fn replace_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), SinkError>) -> Result<(), SinkError> {
    let folder = parent(path);
    fs::create_dir_all(folder)?;
    let temporary = tempfile::Builder::new().prefix(".mlpack-").tempfile_in(folder);
    let mut out = io::BufWriter::new(temporary.map_err(fs::Error::wrap("create a file in", folder))?);
    write(&mut out)?;
    let file: NamedTempFile = out.into_inner().map_err(|error| fs::Error {
        action: "write",
        path: path.into(),
        source: error.into_error(),
    })?;
    fs::set_mode(file.path(), 0o644)?;
    file.persist(path).map_err(|error| fs::Error { action: "create", path: path.into(), source: error.error })?;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the image where there is one, or the one for this machine.
fn one_image(store: &ImageStore, descriptor: &Descriptor) -> Result<Image, SinkError> {
    let mut images = store.images(descriptor)?;
    if images.len() > 1 {
        let platforms = images.iter().map(Image::platform).collect();
        let host = Platform::host().map(|host| host.to_string());
        images.retain(|image| Some(image.platform()) == host);
        if images.is_empty() {
            return Err(SinkError::Platforms { platforms });
        }
    }
    images.pop().ok_or(SinkError::Platforms { platforms: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::validate::tests::{example, settings};
    use crate::image::validate::validate;
    use crate::image::{assemble, index};

    #[test]
    fn outputs_are_told_apart() {
        for text in ["oci:x", "oci-archive:x.tar", "docker-archive:/a:b/x.tar", "docker", "podman"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["", "oci", "oci:", "docker:", "docker:x", "ftp:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_layout_is_an_image_store_again() {
        let (folder, store, image) = example();
        let target = folder.path().join("out/layout");
        let layout = Layout::new(&target);
        for reference in [Some("model:1"), Some("model:2")] {
            layout.write(&store, &image.descriptor, reference).unwrap();
        }
        let copy = ImageStore::at(&target).unwrap();
        let found = copy.find("model:2").unwrap();
        validate(&copy, &found.descriptor).unwrap();
    }

    #[test]
    fn a_layout_keeps_what_it_has_whatever_becomes_of_the_new_image() {
        let (folder, store, image) = example();
        let layout = Layout::new(folder.path().join("layout"));
        layout.write(&store, &image.descriptor, Some("model:1")).unwrap();
        let copy = ImageStore::at(&folder.path().join("layout")).unwrap();
        let vendored = copy.blobs().insert_bytes(b"an input that no image names").unwrap();
        let newer = assemble(store.blobs(), &[], &settings()).unwrap();
        for reference in [Some("model:1"), Some("model:2"), None, None] {
            layout.write(&store, &newer.descriptor, reference).unwrap();
        }
        let names = || copy.list().unwrap().into_iter().map(|entry| entry.reference).collect::<Vec<_>>();
        let expected = [None, Some("model:1".to_owned()), Some("model:2".to_owned())];
        assert_eq!(names(), expected);
        std::fs::write(store.blobs().path(&image.layers()[0].digest), "damaged").unwrap();
        std::fs::remove_file(copy.blobs().path(&image.layers()[0].digest)).unwrap();
        let error = layout.write(&store, &image.descriptor, Some("model:1")).unwrap_err();
        assert!(matches!(error, SinkError::Image(ImageError::Missing { .. })), "{error}");
        assert_eq!(copy.find("model:1").unwrap().descriptor.digest(), newer.descriptor.digest());
        assert_eq!(names(), expected);
        assert!(vendored.path().exists());
    }

    #[test]
    fn a_folder_with_something_else_is_left_alone() {
        let (folder, store, image) = example();
        let target = folder.path().join("precious");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("thesis.txt"), "years").unwrap();
        let error = Layout::new(&target).write(&store, &image.descriptor, None).unwrap_err();
        assert!(matches!(error, SinkError::Occupied { .. }));
        assert!(target.join("thesis.txt").exists());
    }

    #[test]
    fn archives_are_the_same_each_time_and_damage_leaves_none() {
        let (folder, store, image) = example();
        let sinks = |name: &str| -> [(PathBuf, Box<dyn Sink>); 2] {
            let (oci, docker) =
                (folder.path().join(format!("{name}-oci")), folder.path().join(format!("{name}-docker")));
            [(oci.clone(), Box::new(OciArchive::new(oci))), (docker.clone(), Box::new(DockerArchive::new(docker)))]
        };
        let digests = |name: &str| {
            sinks(name).map(|(path, sink)| {
                sink.write(&store, &image.descriptor, Some("model:1")).unwrap();
                Digest::of(&std::fs::read(path).unwrap())
            })
        };
        assert_eq!(digests("first"), digests("second"));
        let layer = store.blobs().path(&image.layers()[0].digest);
        let mut bytes = std::fs::read(&layer).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&layer, bytes).unwrap();
        for (path, sink) in sinks("third") {
            assert!(matches!(sink.write(&store, &image.descriptor, None), Err(SinkError::Image(_))));
            assert!(!path.exists());
        }
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".mlpack-")));
    }

    #[test]
    fn a_docker_archive_holds_one_platform() {
        let (folder, store, _image) = example();
        let image = |platform: &str| {
            let mut settings = settings();
            settings.platform = platform.parse().unwrap();
            assemble(store.blobs(), &[], &settings).unwrap()
        };
        let both = index(store.blobs(), &[image("linux/amd64"), image("linux/arm64")]).unwrap();
        let file = folder.path().join("image.tar");
        DockerArchive::new(&file).write(&store, &both, None).unwrap();
        let mut archive = tar::Archive::new(std::fs::File::open(&file).unwrap());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[1], Path::new("manifest.json"));
    }

    #[test]
    fn a_missing_engine_is_said() {
        let (_folder, store, image) = example();
        let engine = Engine::of_program("mlpack-no-such-program");
        let error = engine.write(&store, &image.descriptor, Some("model:1")).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotRun);
        assert!(error.hints()[0].contains("install mlpack-no-such-program"));
        let error = Engine::of_program("false").write(&store, &image.descriptor, None).unwrap_err();
        assert!(matches!(error, SinkError::Engine { .. }), "{error}");
    }
}
