//! The entries of `data.tar` as a tree: duplicates, links and the folders of merged `/usr`.

use std::collections::BTreeMap;
use std::io::Read;

use super::error::ArchiveError;
use super::tarball::{self, Entry, EntryKind, tar_error};
use super::usrmerge;
use crate::fetch::BlobStore;
use crate::fetch::pack::PackWriter;
use crate::fs;
use crate::layer::tree::{Content, Kind, Node, Tree, TreePath};

/// What the archive gave so far.
#[derive(Debug)]
pub(super) struct Contents {
    pack: PackWriter,
    /// What each path is, with the content of files, for links and for entries that come twice.
    seen: BTreeMap<TreePath, (EntryKind, Option<Content>)>,
}

impl Contents {
    /// Starts without anything.
    pub(super) fn new(store: &BlobStore) -> fs::Result<Self> {
        Ok(Self { pack: PackWriter::new(store)?, seen: BTreeMap::new() })
    }

    /// Reads an archive's entries; `member` names it in errors.
    pub(super) fn read(&mut self, member: &str, plain: &mut dyn Read) -> Result<(), ArchiveError> {
        tarball::read(member, plain, &mut |entry, content| self.add(member, entry, content))
    }

    /// Ends the pack and returns the tree.
    pub(super) fn finish(self) -> fs::Result<Tree> {
        self.pack.finish()
    }

    fn add(&mut self, member: &str, entry: Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let Some(path) = entry.path else { return Ok(()) };
        if usrmerge::is_target(path.as_str()) && entry.kind != EntryKind::Directory {
            // base-files ships the links themselves since Debian 13; the base tree has them.
            let sound =
                matches!(&entry.kind, EntryKind::Symlink(target) if target.trim_start_matches('/') == path.as_str());
            return if sound {
                Ok(())
            } else {
                Err(tar_error(member, format!("`{path}` in place of a folder that links lead to")))
            };
        }
        if let Some((kind, _)) = self.seen.get(&path) {
            let harmless = *kind == entry.kind && matches!(kind, EntryKind::Directory | EntryKind::Symlink(_));
            return if harmless { Ok(()) } else { Err(tar_error(member, format!("`{path}` twice"))) };
        }
        let attributes =
            Node { kind: Kind::Directory, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime };
        let added = self.add_node(member, &path, &entry.kind, attributes, content)?;
        self.seen.insert(path, (entry.kind, added));
        Ok(())
    }

    /// Adds a new path, and returns its content where it is a file.
    fn add_node(
        &mut self,
        member: &str,
        path: &TreePath,
        kind: &EntryKind,
        attributes: Node,
        content: &mut dyn Read,
    ) -> Result<Option<Content>, ArchiveError> {
        match kind {
            EntryKind::Directory => self.pack.add(path.clone(), attributes),
            EntryKind::Symlink(target) => {
                // Archives disagree on the mode of links, which has no meaning.
                let node = Node { kind: Kind::Symlink(target.clone()), mode: 0o777, ..attributes };
                self.pack.add(path.clone(), node);
            }
            EntryKind::File => {
                let added = self.pack.add_file(path.clone(), attributes, content);
                return added.map(Some).map_err(|source| ArchiveError::Read { member: member.to_owned(), source });
            }
            EntryKind::HardLink(target) => {
                let Some((_, Some(content))) = self.seen.get(target) else {
                    return Err(tar_error(member, format!("a link at `{path}` to `{target}`, no file before it")));
                };
                let content = content.clone();
                self.pack.add_link(path.clone(), attributes, content.clone());
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}

/// Refuses a path below a link or a file: laid out on a disk, it would be written elsewhere.
pub(super) fn check_parents(member: &str, tree: &Tree) -> Result<(), ArchiveError> {
    for (path, _) in tree.iter() {
        let mut parent = path.parent();
        while let Some(folder) = parent {
            match tree.get(folder.as_str()) {
                Some(Node { kind: Kind::Directory, .. }) | None => {}
                Some(_) => return Err(tar_error(member, format!("`{path}` below `{folder}`, which is no folder"))),
            }
            parent = folder.parent();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Tar, gnu_long_name};
    use super::*;

    /// Unpacks an archive; the result is the tree as text, or the whole chain of messages.
    fn unpack(tar: &Tar) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let mut contents = Contents::new(&store).unwrap();
        let chain = |error: ArchiveError| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        contents.read("data.tar", &mut tar.bytes().as_slice()).map_err(chain)?;
        let tree = contents.finish().unwrap();
        check_parents("data.tar", &tree).map_err(chain)?;
        let line = |(path, node): (&TreePath, &Node)| match &node.kind {
            Kind::Directory => format!("{path}/ {:o}", node.mode),
            Kind::File(content) => format!("{path} {:o} {}", node.mode, content.length),
            Kind::Symlink(target) => format!("{path} -> {target}"),
        };
        Ok(tree.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn old_paths_move_into_usr_and_links_become_files() {
        let tar = Tar::new()
            .folder("./")
            .folder("./lib/")
            .folder("./usr/")
            .folder("./usr/lib/")
            .file("./lib/a", "text")
            .link("./usr/lib/b", "./lib/a")
            .symlink("./bin/c", "/etc/c");
        assert_eq!(
            unpack(&tar).unwrap(),
            "usr/ 755\nusr/bin/c -> /etc/c\nusr/lib/ 755\nusr/lib/a 644 4\nusr/lib/b 644 4"
        );
    }

    #[test]
    fn the_links_of_merged_usr_are_known_and_nothing_else_takes_their_place() {
        let sound = Tar::new().symlink("./lib", "usr/lib").symlink("./bin", "/usr/bin").folder("./sbin/");
        assert_eq!(unpack(&sound).unwrap(), "usr/sbin/ 755");
        for hostile in [
            Tar::new().symlink("./lib", "/etc"),
            Tar::new().symlink("./usr/lib", "../etc"),
            Tar::new().file("./bin", "x"),
            Tar::new().folder("./lib/").symlink("./usr/lib", "/tmp"),
        ] {
            assert!(unpack(&hostile).is_err());
        }
    }

    #[test]
    fn unsafe_names_are_refused() {
        for name in
            ["../x", "./../x", "a/../../x", "/etc/passwd", "", "a/..", "a\nb", "./a/.wh.b", ".wh..wh..opq", "./.wh."]
        {
            assert!(unpack(&Tar::new().file(name, "x")).is_err(), "{name:?}");
        }
        for name in [".", "./", "/"] {
            assert!(unpack(&Tar::new().symlink(name, "/tmp")).is_err(), "the root as a link, {name:?}");
        }
        assert!(unpack(&Tar::new().raw(b'0', b"\xff\xfe", b"", b"x")).unwrap_err().contains("UTF-8"));
        assert!(unpack(&Tar::new().file("a\\..\\b", "x")).is_ok(), "a backslash is no separator");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        for hostile in [
            Tar::new().symlink("a", "/etc").file("a/passwd", "x"),
            Tar::new().file("a/passwd", "x").symlink("a", "/etc"),
            Tar::new().symlink("a", "..").folder("a/b/"),
            Tar::new().symlink("a", "/etc").folder("a/"),
            Tar::new().file("a", "x").file("a/b", "x"),
        ] {
            assert!(unpack(&hostile).is_err());
        }
    }

    #[test]
    fn hard_links_lead_to_an_earlier_file_only() {
        for hostile in [
            Tar::new().link("a", "/etc/passwd"),
            Tar::new().link("a", "../b"),
            Tar::new().link("a", "b").file("b", "x"),
            Tar::new().symlink("b", "/etc/passwd").link("a", "b"),
            Tar::new().folder("b/").link("a", "b"),
            Tar::new().link("a", "a"),
            Tar::new().link("a", ""),
        ] {
            assert!(unpack(&hostile).is_err());
        }
        // Writing to the link afterwards would change the file in a lenient reader.
        assert!(unpack(&Tar::new().file("b", "x").link("a", "b").file("a", "y")).is_err());
    }

    #[test]
    fn a_path_twice_is_refused_unless_it_is_the_same_folder_or_link() {
        let harmless = Tar::new().folder("a/").folder("./a").symlink("b", "a").symlink("b", "a");
        assert_eq!(unpack(&harmless).unwrap(), "a/ 755\nb -> a");
        for hostile in [
            Tar::new().file("a", "x").file("a", "y"),
            Tar::new().file("a", "x").folder("a/"),
            Tar::new().symlink("a", "b").symlink("a", "c"),
            Tar::new().file("./lib/a", "x").file("./usr/lib/a", "y"),
        ] {
            assert!(unpack(&hostile).unwrap_err().contains("twice"));
        }
    }

    #[test]
    fn what_packages_never_hold_is_refused() {
        for flag in [b'3', b'4', b'6', b'S', b'x', b'g', b'V', b'M', b'Z'] {
            let error = unpack(&Tar::new().raw(flag, b"a", b"", b"")).unwrap_err();
            assert!(error.contains("at `a`"), "{error}");
        }
        assert!(unpack(&Tar::new().raw(b'x', b"a", b"", b"12 size=9999\n").file("a", "x")).is_err());
        assert!(unpack(&Tar::new().raw(b'5', b"a", b"", b"content")).is_err());
        assert!(unpack(&Tar::new().symlink("a", "")).is_err());
        assert!(unpack(&Tar::new().symlink("a", "b\nc")).is_err());
    }

    #[test]
    fn modes_and_owners_stay_and_numbers_out_of_range_are_refused() {
        let tar = Tar::new().file("a", "x").patched(|header| header.set_mode(0o106_755));
        assert_eq!(unpack(&tar).unwrap(), "a 6755 1");
        for number in [u64::MAX, 1 << 40] {
            let owner = Tar::new().file("a", "x").patched(|header| header.set_uid(number));
            let time = Tar::new().file("a", "x").patched(|header| header.set_mtime(number));
            assert!(unpack(&owner).is_err() && unpack(&time).is_err(), "{number}");
        }
        let negative = Tar::new().file("a", "x").patched(|header| header.as_old_mut().mtime = [0xff; 12]);
        let size = Tar::new().file("a", "x").patched(|header| header.set_size(1 << 62));
        assert!(unpack(&negative).is_err() && unpack(&size).is_err());
    }

    #[test]
    fn long_names_are_read_and_malformed_ones_refused() {
        let name = "d/".repeat(100) + "end";
        let tar = Tar::new().raw(b'L', b"././@LongLink", b"", &gnu_long_name(&name)).file("cut", "x");
        assert_eq!(unpack(&tar).unwrap(), format!("{name} 644 1"));
        let long = |content: &[u8]| Tar::new().raw(b'L', b"././@LongLink", b"", content);
        for hostile in [
            long(b"no end").file("a", "x"),
            long(b"a\0b\0").file("a", "x"),
            long(&gnu_long_name("../x")).file("a", "x"),
            long(&gnu_long_name("b")).raw(b'L', b"", b"", &gnu_long_name("c")).file("a", "x"),
            long(&gnu_long_name(&"x".repeat(5000))).file("a", "x"),
            long(&gnu_long_name("b")),
            long(b""),
        ] {
            assert!(unpack(&hostile).is_err());
        }
    }

    #[test]
    fn a_cut_archive_and_data_behind_its_end_are_refused() {
        let bytes = Tar::new().file("a", &"x".repeat(600)).bytes();
        let read = |bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            let store = BlobStore::open(folder.path()).unwrap();
            Contents::new(&store).unwrap().read("data.tar", &mut &bytes[..])
        };
        assert!(read(&bytes).is_ok());
        for length in [100, 512, 700, 1100] {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(read(&[&bytes[..], &Tar::new().file("b", "x").bytes()].concat()).is_err());
        let mut wrong_sum = bytes.clone();
        wrong_sum[0] = b'b';
        assert!(read(&wrong_sum).is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

        #[test]
        fn damaged_archives_never_panic_and_never_give_a_path_through_a_link(
            damage in proptest::collection::vec((0..4096_usize, proptest::prelude::any::<u8>()), 1..6),
            fix_sums in proptest::prelude::any::<bool>(),
        ) {
            let tar = Tar::new().folder("a/").file("a/b", "text").symlink("c", "a").link("d", "a/b");
            let mut bytes = tar.bytes();
            for (position, byte) in damage {
                let position = position % bytes.len();
                bytes[position] = byte;
            }
            if fix_sums {
                for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                    let mut header = tar::Header::new_old();
                    header.as_mut_bytes().copy_from_slice(block);
                    header.set_cksum();
                    block.copy_from_slice(header.as_bytes());
                }
            }
            let folder = tempfile::tempdir().unwrap();
            let store = BlobStore::open(folder.path()).unwrap();
            let mut contents = Contents::new(&store).unwrap();
            if contents.read("data.tar", &mut bytes.as_slice()).is_ok() {
                let tree = contents.finish().unwrap();
                if check_parents("data.tar", &tree).is_ok() {
                    proptest::prop_assert!(tree.below("c").next().is_none() || matches!(tree.get("c").unwrap().kind, Kind::Directory));
                }
            }
        }
    }
}
