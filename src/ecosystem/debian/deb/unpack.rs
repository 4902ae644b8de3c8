//! From a verified .deb to a file tree over a pack of the content store.
//!
//! The package's archive is decompressed once; a later call finds the tree among the derived values. Mode bits stay as
//! the package has them, setuid and setgid included, as do numeric owners and the files' times.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

use serde::{Deserialize, Serialize};

use super::ar::{self, Member};
use super::contents::{Contents, check_parents};
use super::control::Control;
use super::error::{ArchiveError, DebError};
use super::tarball::{self, EntryKind, tar_error};
use super::{compression, prune, record, usrmerge};
use crate::digest::Digest;
use crate::fetch::derived::Derived;
use crate::fetch::{Blob, BlobStore, pack};
use crate::fs;
use crate::layer;
use crate::layer::tree::{Tree, TreePath};
use crate::lock::Package;
use crate::platform::Platform;

/// The members of `control.tar` that are kept, beside the control file.
const CONTROL_FILES: [&str; 8] =
    ["conffiles", "md5sums", "preinst", "postinst", "prerm", "postrm", "config", "triggers"];
/// The largest file in `control.tar` that is read; lists of checksums reach a few megabytes.
const LARGEST_CONTROL_FILE: u64 = 64 << 20;

/// A package, ready to stand in an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unpacked {
    /// The files that the image keeps, with the package's record in `var/lib/dpkg/status.d`.
    pub tree: Tree,
    /// The control paragraph.
    pub control: Control,
    /// The maintainer scripts and triggers by name, such as `postinst`. They are never run.
    pub scripts: BTreeMap<String, String>,
    /// The configuration files, by their place in the merged tree.
    pub conffiles: Vec<TreePath>,
    /// The MD5 checksums that the package gives for its files, by their place in the merged tree.
    pub md5sums: BTreeMap<String, String>,
}

/// Unpacks the .deb in `blob`, which the lock names as `package`.
///
/// The tree is pruned ([`prune`]) and holds the package's record ([`record`]). Files of the package keep their own times:
/// whoever writes the layer clamps them. Fails where the .deb is malformed, unsafe, or another package than `package`, or
/// one for another platform.
pub fn unpack(
    store: &BlobStore,
    derived: &Derived,
    package: &Package,
    blob: &Blob,
    platform: Platform,
) -> Result<Unpacked, DebError> {
    let key = key(&blob.digest);
    let unpacked = match derived.get::<Unpacked>(&key) {
        Some(known) if pack::is_whole(store, &known.tree)? => known,
        _ => {
            let unpacked = read(store, &package.name, blob)?;
            derived.put(&key, &unpacked)?;
            unpacked
        }
    };
    finish(unpacked, package, platform)
}

/// Returns what unpacking the file that the lock names gave before; whether the store still has its pack is not looked at.
pub fn known(derived: &Derived, package: &Package, platform: Platform) -> Result<Option<Unpacked>, DebError> {
    let known = derived.get(&key(&package.sha256));
    known.map(|unpacked| finish(unpacked, package, platform)).transpose()
}

fn key(file: &Digest) -> Digest {
    Derived::key("deb", &(layer::FORMAT, file))
}

/// Makes of a package as it is what stands in an image.
fn finish(mut unpacked: Unpacked, package: &Package, platform: Platform) -> Result<Unpacked, DebError> {
    check_identity(&unpacked.control, package, platform)?;
    prune::prune(&mut unpacked.tree);
    record::add(&mut unpacked)
        .map_err(|source| ArchiveError::Path { member: "control".to_owned(), source })
        .map_err(|source| DebError::Archive { package: package.name.clone(), source })?;
    Ok(unpacked)
}

fn check_identity(control: &Control, package: &Package, platform: Platform) -> Result<(), DebError> {
    let architecture = package.architecture.as_deref().unwrap_or_default();
    let fields = [("Package", &*package.name), ("Version", &*package.version), ("Architecture", architecture)];
    for (field, expected) in fields {
        let found = control.field(field).unwrap_or_default();
        let fits_platform = field != "Architecture" || found == "all" || found == platform.debian();
        if found != expected || !fits_platform {
            let (package, found, expected) = (package.name.clone(), found.to_owned(), expected.to_owned());
            return Err(DebError::Mismatch { package, field, found, expected });
        }
    }
    Ok(())
}

fn read(store: &BlobStore, package: &str, blob: &Blob) -> Result<Unpacked, DebError> {
    let unsound = |source| match source {
        // Contents go to the store as they are read, and a full disk is no fault of the package.
        ArchiveError::Read { source, .. } if fs::is_full(&source) => {
            fs::Error { action: "unpack into", path: store.root().to_owned(), source }.into()
        }
        source => DebError::Archive { package: package.to_owned(), source },
    };
    let mut file = blob.open()?;
    let members = ar::members(&mut file, blob.size).map_err(unsound)?;
    let mut files = read_control(&file, &members.control).map_err(unsound)?;
    let control = files.remove("control").ok_or_else(|| unsound(ArchiveError::Control("it is missing".to_owned())))?;
    let control = Control::parse(&control).map_err(unsound)?;
    record::check_name(control.package()).map_err(unsound)?;
    let conffiles = conffiles(&files.remove("conffiles").unwrap_or_default()).map_err(unsound)?;
    let md5sums = record::parse_md5sums(&files.remove("md5sums").unwrap_or_default());
    let mut contents = Contents::new(store)?;
    let mut plain = open(&file, &members.data).map_err(unsound)?;
    contents.read(&members.data.name, &mut plain).map_err(unsound)?;
    let tree = contents.finish()?;
    check_parents(&members.data.name, &tree).map_err(unsound)?;
    Ok(Unpacked { tree, control, scripts: files, conffiles, md5sums })
}

fn open<'a>(file: &'a File, member: &Member) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let mut start = file;
    start
        .seek(SeekFrom::Start(member.offset))
        .map_err(|source| ArchiveError::Read { member: member.name.clone(), source })?;
    compression::reader(member, BufReader::with_capacity(1 << 17, start.take(member.length)))
}

/// Returns the text of the control file and of those in [`CONTROL_FILES`].
fn read_control(file: &File, member: &Member) -> Result<BTreeMap<String, String>, ArchiveError> {
    let mut files = BTreeMap::new();
    let mut plain = open(file, member)?;
    tarball::read(&member.name, &mut plain, &mut |entry, content| {
        let Some(path) = entry.path else { return Ok(()) };
        let name = path.as_str();
        if name != "control" && !CONTROL_FILES.contains(&name) {
            return Ok(());
        }
        if entry.kind != EntryKind::File || entry.length > LARGEST_CONTROL_FILE {
            return Err(tar_error(&member.name, format!("`{name}`, which is no file or too large")));
        }
        let mut bytes = Vec::new();
        let reading = |source| ArchiveError::Read { member: member.name.clone(), source };
        content.read_to_end(&mut bytes).map_err(reading)?;
        // Old scripts have comments in Latin-1; nothing that matters in them is outside of ASCII.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match files.insert(name.to_owned(), text) {
            None => Ok(()),
            Some(_) => Err(tar_error(&member.name, format!("`{name}` twice"))),
        }
    })?;
    Ok(files)
}

fn conffiles(list: &str) -> Result<Vec<TreePath>, ArchiveError> {
    let paths = list.lines().filter(|line| line.starts_with('/'));
    let place = |path: &str| TreePath::new(&usrmerge::canonical(path.trim_start_matches('/').trim_end()));
    paths
        .map(|path| place(path).map_err(|source| ArchiveError::Path { member: "conffiles".to_owned(), source }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Tar};
    use super::*;
    use crate::error::{Diagnose as _, Exit};
    use crate::fetch::Home;
    use crate::layer::tree::Source;

    const CONTROL: &str = "Package: demo\nVersion: 1.0-1\nArchitecture: amd64\nDescription: short\n long\n";

    struct Fixture {
        _folder: tempfile::TempDir,
        store: BlobStore,
        derived: Derived,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::below(folder.path());
            Self { store: home.blobs().unwrap(), derived: home.derived(), _folder: folder }
        }

        fn unpack(&self, deb: &[u8]) -> Result<Unpacked, DebError> {
            let blob = self.store.insert_bytes(deb).unwrap();
            let package = testing::package("demo", "1.0-1", "amd64", &blob);
            unpack(&self.store, &self.derived, &package, &blob, "linux/amd64".parse().unwrap())
        }
    }

    fn sound() -> Vec<u8> {
        let control = Tar::new()
            .folder("./")
            .file("./control", CONTROL)
            .file("./md5sums", "900150983cd24fb0d6963f7d28e17f72  lib/demo\nnonsense\n")
            .file("./conffiles", "/etc/demo.conf\nremove-on-upgrade /etc/old\n")
            .file("./postinst", "#!/bin/sh\nset -e\n");
        let data =
            Tar::new().file("./lib/demo", "abc").file("./etc/demo.conf", "").file("./usr/share/man/man1/demo.1", "");
        testing::deb(&control, &data)
    }

    #[test]
    fn a_package_becomes_a_tree_with_its_record() {
        let fixture = Fixture::new();
        let unpacked = fixture.unpack(&sound()).unwrap();
        let paths: Vec<_> =
            unpacked.tree.iter().filter(|(_, node)| node.content().is_some()).map(|(path, _)| path.as_str()).collect();
        let status = "var/lib/dpkg/status.d/demo";
        assert_eq!(paths, ["etc/demo.conf", "usr/lib/demo", status, "var/lib/dpkg/status.d/demo.md5sums"]);
        let read = |path: &str| {
            let content = unpacked.tree.get(path).unwrap().content().unwrap();
            String::from_utf8(pack::read(&fixture.store, content).unwrap()).unwrap()
        };
        assert_eq!(read("usr/lib/demo"), "abc");
        assert_eq!(read(status), CONTROL.replace("demo\n", "demo\nStatus: install ok installed\n"));
        assert_eq!(read("var/lib/dpkg/status.d/demo.md5sums"), "900150983cd24fb0d6963f7d28e17f72  usr/lib/demo\n");
        assert_eq!(unpacked.conffiles, [TreePath::new("etc/demo.conf").unwrap()]);
        assert_eq!(unpacked.scripts["postinst"], "#!/bin/sh\nset -e\n");
    }

    #[test]
    fn a_known_package_is_unpacked_again_only_when_its_pack_is_gone() {
        let fixture = Fixture::new();
        let first = fixture.unpack(&sound()).unwrap();
        let Source::Pack { pack, .. } = first.tree.get("usr/lib/demo").unwrap().content().unwrap().source else {
            panic!("not in a pack")
        };
        std::fs::remove_file(fixture.store.path(&pack)).unwrap();
        let again = fixture.unpack(&sound()).unwrap();
        assert!(fixture.store.has(&pack));
        assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&again).unwrap());
    }

    #[test]
    fn a_package_that_is_not_the_locked_one_is_refused() {
        for control in [
            CONTROL.replace("demo", "other"),
            CONTROL.replace("1.0-1", "1.0-2"),
            CONTROL.replace("amd64", "arm64"),
            CONTROL.replace("Version: 1.0-1\n", ""),
            CONTROL.replace("1.0-1", "1.0-1\n Package: other"),
            CONTROL.replace("demo", "demo\n Status: deinstall ok config-files"),
            format!("{CONTROL}\nPackage: second\n"),
            CONTROL.replace("demo", "../demo"),
            String::new(),
        ] {
            let fixture = Fixture::new();
            let deb = testing::deb(&Tar::new().file("./control", &control), &Tar::new());
            let error = fixture.unpack(&deb).unwrap_err();
            assert_eq!(error.exit(), Exit::Integrity, "{control}");
            // The second time the answer comes from the derived values, and must be the same.
            assert_eq!(fixture.unpack(&deb).unwrap_err().to_string(), error.to_string());
        }
    }

    #[test]
    fn a_control_archive_with_links_or_doubles_is_refused() {
        let with_control = || Tar::new().file("./control", CONTROL);
        for control in [
            Tar::new(),
            Tar::new().symlink("./control", "/etc/passwd"),
            with_control().file("control", CONTROL),
            with_control().symlink("./postinst", "/bin/true"),
            with_control().file("../postinst", ""),
            with_control().file("./conffiles", "/../etc\n"),
        ] {
            assert!(Fixture::new().unpack(&testing::deb(&control, &Tar::new())).is_err());
        }
    }
}
