//! Finds and reads the ELF objects of a package's tree.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use object::elf;
use rayon::prelude::*;

use super::bytes::Bytes;
use super::object::Object;
use crate::digest::Digest;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Content, Kind, Source, Tree, TreePath};

/// Raised whenever an object is read otherwise than before.
const FORMAT: u32 = 1;

/// Returns the ELF objects among a tree's regular files, in order of path.
///
/// The result is remembered by the digests of the files, and read again from there. Of an object only what the loader
/// looks at is read, so size does not matter. Fails where a file cannot be read or is not what its digest says.
pub fn scan(store: &BlobStore, derived: &Derived, tree: &Tree) -> Result<Vec<(TreePath, Object)>> {
    let files: Vec<_> = tree.iter().filter_map(|(path, node)| Some((path, node.content()?))).collect();
    let inputs: Vec<_> = files.iter().map(|(path, content)| (path, content.digest)).collect();
    let key = Derived::key("elf-objects", &(FORMAT, inputs));
    if let Some(known) = derived.get(&key) {
        return Ok(known);
    }
    let packs = open_packs(store, &files)?;
    let object = |&(path, content): &(&TreePath, &Content)| {
        let object = read(store, &packs, content)?;
        Ok(object.map(|object| (path.clone(), object)))
    };
    let found: fs::Result<Vec<_>> = files.par_iter().map(object).collect();
    let objects: Vec<_> = found?.into_iter().flatten().collect();
    derived.put(&key, &objects)?;
    Ok(objects)
}

/// Returns the names by which a tree's libraries can be asked for: of files, of links to them, and sonames.
///
/// `objects` are the tree's, see [`scan`].
pub fn names(tree: &Tree, objects: &[(TreePath, Object)]) -> BTreeSet<String> {
    let links = tree.iter().filter(|(_, node)| matches!(node.kind, Kind::Symlink(_))).map(|(path, _)| path);
    let files = objects.iter().map(|(path, _)| path).chain(links);
    let files = files.map(TreePath::file_name).filter(|name| name.contains(".so"));
    let sonames = objects.iter().filter_map(|(_, object)| object.soname.as_deref());
    files.chain(sonames).map(str::to_owned).collect()
}

/// A pack that was verified as a whole, so that parts of it can be read without a check each.
#[derive(Debug)]
struct Pack {
    file: File,
    path: PathBuf,
}

fn open_packs(store: &BlobStore, files: &[(&TreePath, &Content)]) -> fs::Result<HashMap<Digest, Pack>> {
    let mut packs = HashMap::new();
    for (_, content) in files {
        let Source::Pack { pack, .. } = content.source else { continue };
        if packs.contains_key(&pack) {
            continue;
        }
        let missing = || fs::Error {
            action: "read",
            path: store.path(&pack),
            source: io::Error::new(io::ErrorKind::InvalidData, "the unpacked package is absent or damaged"),
        };
        let blob = store.get(&pack)?.ok_or_else(missing)?;
        packs.insert(pack, Pack { file: blob.open()?, path: blob.path().to_owned() });
    }
    Ok(packs)
}

fn read(store: &BlobStore, packs: &HashMap<Digest, Pack>, content: &Content) -> fs::Result<Option<Object>> {
    match &content.source {
        Source::Inline(bytes) => Ok(Object::parse(bytes)),
        Source::Pack { pack, offset } => {
            let Pack { file, path } = &packs[pack];
            read_file(file, *offset, content.length).map_err(fs::Error::wrap("read", path))
        }
        Source::Project(path) => {
            let wrap = || fs::Error::wrap("read", path);
            let file = fs::open(path)?;
            if !is_elf(&file, 0, content.length).map_err(wrap())? {
                return Ok(None);
            }
            // The user's file may have changed since its digest was taken: reading it to the end checks that.
            io::copy(&mut pack::open(store, content)?, &mut io::sink()).map_err(wrap())?;
            read_file(&file, 0, content.length).map_err(wrap())
        }
    }
}

fn read_file(file: &File, offset: u64, length: u64) -> io::Result<Option<Object>> {
    if !is_elf(file, offset, length)? {
        return Ok(None);
    }
    Object::read(Bytes::File { file, offset, length })
}

fn is_elf(file: &File, offset: u64, length: u64) -> io::Result<bool> {
    let mut magic = [0; 4];
    if length < magic.len() as u64 {
        return Ok(false);
    }
    match file.read_exact_at(&mut magic, offset) {
        Ok(()) => Ok(magic == elf::ELFMAG),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::Elf;
    use crate::fetch::pack::PackWriter;
    use crate::layer::tree::Node;

    #[test]
    fn objects_are_found_by_content_in_packs_projects_and_memory() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let derived = Derived::new(&folder.path().join("derived"));
        let bytes = Elf::library("libx.so.1").needs("libc.so.6").build();
        let path = |name| TreePath::new(name).unwrap();
        let mut pack = PackWriter::new(&store).unwrap();
        for (name, bytes) in [("a.txt", &b"text"[..]), ("b", &bytes), ("empty.so", b"")] {
            pack.add_file(path(name), Node::directory(), &mut &*bytes).unwrap();
        }
        let mut tree = pack.finish().unwrap();
        tree.insert(path("c"), Node::file(Content::inline(bytes.clone()), 0o644));
        let file = folder.path().join("model.so");
        std::fs::write(&file, &bytes).unwrap();
        let content = Content { source: Source::Project(file.clone()), ..Content::inline(bytes.clone()) };
        tree.insert(path("d"), Node::file(content, 0o644));

        let found = scan(&store, &derived, &tree).unwrap();
        let names: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
        assert!(found.iter().all(|(_, object)| object.needed == ["libc.so.6"]));

        // The second time nothing is read: it works without the file.
        std::fs::remove_file(file).unwrap();
        assert_eq!(scan(&store, &derived, &tree).unwrap(), found);
    }

    #[test]
    fn a_project_file_that_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let derived = Derived::new(&folder.path().join("derived"));
        let file = folder.path().join("model.so");
        let bytes = Elf::library("libx.so.1").build();
        let content = Content { source: Source::Project(file.clone()), ..Content::inline(bytes.clone()) };
        let tree = [(TreePath::new("model.so").unwrap(), Node::file(content, 0o644))].into_iter().collect();
        let mut changed = bytes;
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(&file, changed).unwrap();
        assert!(scan(&store, &derived, &tree).is_err());
    }
}
