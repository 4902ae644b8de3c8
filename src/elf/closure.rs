//! Which library each object gets, by the rules of the dynamic loader, and what is missing.
//!
//! Objects come from *roots* or from *providers*. A root was asked for (a wheel, an artifact, the runtime, a package of
//! the manifest): all of its objects count. A provider was added only because it has a library that something needs:
//! of its objects only those count that are reached, so that a program or plugin nobody uses asks for nothing.
//!
//! The rules are those of ld.so(8): RPATH of the object and of what loaded it, RUNPATH, then the folders of
//! `ld.so.cache` and the defaults. One thing differs. A loader also takes a library that some other object has already
//! loaded, and which ones those are is known only when the program runs: `import torch` loads libraries of other
//! wheels by path. So a library that exists in the package itself, or else in any other, counts as found there; in another
//! wheel it is only *borrowed*, and who resolves can look for a better one. The system borrows from no wheel.

use std::fmt;

use super::links::Links;
use super::object::Object;
use super::search::Search;
use crate::layer::tree::{Tree, TreePath};
use crate::lock::Library;
use crate::platform::Platform;

/// All objects of an image, with what is needed to resolve their needs.
#[derive(Clone, Debug)]
pub struct Closure {
    pub(super) platform: Platform,
    pub(super) links: Links,
    pub(super) folders: Vec<String>,
    members: Vec<Member>,
}

/// An object of the image.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) owner: String,
    pub(super) root: bool,
    pub(super) path: TreePath,
    pub(super) object: Object,
}

impl Member {
    /// Whether it belongs to a Debian package.
    pub(super) fn is_system(&self) -> bool {
        self.owner.starts_with("deb:")
    }

    /// Whether it needs more of the processor than x86-64 has by itself; the loader passes by what lies in the folders for others.
    pub(super) fn is_demanding(&self) -> bool {
        self.object.isa_level > 0 && !self.path.as_str().contains("/glibc-hwcaps/")
    }
}

/// A library that objects need and nobody has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The name that the loader looks for.
    pub soname: String,
    /// Owner and path of the objects that need it. Sorted.
    pub needed_by: Vec<(String, TreePath)>,
}

/// A library that is there, but without a symbol version that an object needs: the loader gives up on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionProblem {
    /// The package of the object, such as `wheel:numpy`.
    pub owner: String,
    /// The object.
    pub object: TreePath,
    /// The library's soname.
    pub library: String,
    /// The package that has the library.
    pub provider: String,
    /// The version that it lacks, such as `GLIBC_2.38`.
    pub version: String,
    /// The newest version of the same family that it has, such as `GLIBC_2.36`.
    pub newest: Option<String>,
}

impl fmt::Display for VersionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, object, library, provider, version, newest } = self;
        write!(f, "`{object}` of {owner} needs {version} of {library}, but {provider} has ")?;
        match newest {
            Some(newest) => write!(f, "only {newest}"),
            None => write!(f, "no such version"),
        }
    }
}

/// What resolving gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// The libraries that nobody has, by soname.
    pub missing: Vec<Missing>,
    /// The libraries that nobody has and that objects would open if they were there, by soname: those of notes with a
    /// lower priority than required.
    pub wanted: Vec<Missing>,
    /// The libraries that some objects find in other wheels alone, by soname.
    pub borrowed: Vec<Missing>,
    /// Which package's library serves which packages, without those that serve themselves. Sorted.
    pub edges: Vec<Library>,
    /// The libraries that are too old. Sorted.
    pub version_problems: Vec<VersionProblem>,
    /// Owner and path of all objects that count: those of the roots, and what they reach. Sorted.
    pub reached: Vec<(String, TreePath)>,
    /// Those of them that need more than the baseline of x86-64, with its level: 2 for x86-64-v2, and so on. Sorted.
    pub demanding: Vec<(String, TreePath, u8)>,
}

impl Closure {
    /// Returns an empty closure, which searches the folders that Debian's loader does.
    pub fn new(platform: Platform) -> Self {
        let folders = super::ldconfig::default_folders(platform);
        Self { platform, links: Links::new(), folders, members: Vec::new() }
    }

    /// Adds a package that was asked for: all of its objects count. `owner` is such as `wheel:numpy`.
    pub fn add(&mut self, owner: &str, objects: Vec<(TreePath, Object)>, tree: &Tree) {
        self.extend(owner, true, objects, tree);
    }

    /// Adds a package that is there for its libraries: only those of its objects count that are reached.
    pub fn add_provider(&mut self, owner: &str, objects: Vec<(TreePath, Object)>, tree: &Tree) {
        self.extend(owner, false, objects, tree);
    }

    fn extend(&mut self, owner: &str, root: bool, objects: Vec<(TreePath, Object)>, tree: &Tree) {
        self.links.add(tree);
        let loadable = objects.into_iter().filter(|(path, object)| object.is_loadable(self.platform) && counts(path));
        self.members.extend(loadable.map(|(path, object)| Member { owner: owner.to_owned(), root, path, object }));
    }

    /// Resolves all needs of what counts. The order in which packages were added does not matter.
    pub fn resolve(&self) -> Resolution {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|a, b| (&a.owner, &a.path).cmp(&(&b.owner, &b.path)));
        Search::new(self, members).run()
    }
}

/// Whether an object is one that programs load: debug information and the linker's stubs of drivers are not.
fn counts(path: &TreePath) -> bool {
    let path = path.as_str();
    !path.starts_with("usr/lib/debug/")
        && !path.split('/').rev().skip(1).any(|folder| folder == "stubs" || folder == ".debug")
        && path.rsplit('.').next() != Some("debug")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::Elf;
    use crate::layer::tree::Node;

    const NUMPY: &str = "usr/lib/python3/numpy";

    fn closure() -> Closure {
        Closure::new(Platform::ALL[0])
    }

    fn objects(list: &[(&str, Elf)]) -> Vec<(TreePath, Object)> {
        let object = |(path, elf): &(&str, Elf)| (TreePath::new(path).unwrap(), Object::parse(&elf.build()).unwrap());
        list.iter().map(object).collect()
    }

    fn links(list: &[(&str, &str)]) -> Tree {
        list.iter().map(|(path, target)| (TreePath::new(path).unwrap(), Node::symlink(*target))).collect()
    }

    fn add(closure: &mut Closure, owner: &str, list: &[(&str, Elf)]) {
        closure.add(owner, objects(list), &Tree::new());
    }

    fn missing(closure: &Closure) -> Vec<String> {
        closure.resolve().missing.into_iter().map(|missing| missing.soname).collect()
    }

    fn edges(closure: &Closure) -> Vec<String> {
        let edge = |edge: Library| format!("{} {} <- {}", edge.soname, edge.provider, edge.needed_by.join(" "));
        closure.resolve().edges.into_iter().map(edge).collect()
    }

    #[test]
    fn what_nobody_has_is_missing_and_says_who_needs_it() {
        let mut closure = closure();
        add(&mut closure, "wheel:b", &[("b/x.so", Elf::module().needs("libgomp.so.1"))]);
        add(&mut closure, "wheel:a", &[("a/x.so", Elf::module().needs("libgomp.so.1").needs("linux-vdso.so.1"))]);
        let path = |path| TreePath::new(path).unwrap();
        let needed_by = vec![("wheel:a".to_owned(), path("a/x.so")), ("wheel:b".to_owned(), path("b/x.so"))];
        assert_eq!(closure.resolve().missing, [Missing { soname: "libgomp.so.1".to_owned(), needed_by }]);
    }

    #[test]
    fn a_library_is_found_through_links_and_merged_folders() {
        let mut closure = closure();
        add(&mut closure, "wheel:x", &[("x.so", Elf::module().needs("libblas.so.3").needs("libc.so.6"))]);
        let blas = objects(&[("usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11", Elf::library("libblas.so.3"))]);
        let alternatives = links(&[
            ("usr/lib/x86_64-linux-gnu/libblas.so.3", "/etc/alternatives/libblas"),
            ("etc/alternatives/libblas", "/lib/x86_64-linux-gnu/blas/libblas.so.3.11"),
        ]);
        closure.add_provider("deb:libblas3", blas, &alternatives);
        let libc = objects(&[("lib/x86_64-linux-gnu/libc.so.6", Elf::library("libc.so.6"))]);
        closure.add_provider("deb:libc6", libc, &Tree::new());
        assert_eq!(edges(&closure), ["libblas.so.3 deb:libblas3 <- wheel:x", "libc.so.6 deb:libc6 <- wheel:x"]);
    }

    #[test]
    fn of_a_provider_only_what_is_reached_counts() {
        let provider = [
            ("usr/lib/x86_64-linux-gnu/libx.so.1", Elf::library("libx.so.1").needs("libz.so.1")),
            ("usr/bin/xtool", Elf::module().needs("libgtk-3.so.0")),
        ];
        let root = ("m.so", Elf::module().needs("libx.so.1"));
        let mut as_provider = closure();
        add(&mut as_provider, "wheel:m", std::slice::from_ref(&root));
        as_provider.add_provider("deb:x", objects(&provider), &Tree::new());
        assert_eq!(missing(&as_provider), ["libz.so.1"]);
        let reached = as_provider.resolve().reached;
        assert_eq!(reached.len(), 2, "{reached:?}");

        let mut as_root = closure();
        add(&mut as_root, "wheel:m", &[root]);
        as_root.add("deb:x", objects(&provider), &Tree::new());
        assert_eq!(missing(&as_root), ["libgtk-3.so.0", "libz.so.1"]);
    }

    #[test]
    fn rpath_serves_what_is_loaded_and_runpath_does_not() {
        for (module, reaches) in [
            (Elf::module().needs("liba.so").rpath("$ORIGIN/../numpy.libs"), true),
            (Elf::module().needs("liba.so").runpath("${ORIGIN}/../numpy.libs"), false),
        ] {
            let mut closure = closure();
            add(&mut closure, "wheel:numpy", &[(&format!("{NUMPY}/core.so"), module)]);
            let libraries = [
                ("usr/lib/python3/numpy.libs/liba.so", Elf::library("liba.so").needs("libb.so")),
                ("usr/lib/python3/numpy.libs/libb.so", Elf::library("libb.so")),
            ];
            closure.add_provider("deb:a", objects(&libraries[..1]), &Tree::new());
            closure.add_provider("deb:b", objects(&libraries[1..]), &Tree::new());
            // A copy that the fallback would take first tells the two apart.
            closure.add_provider("deb:a0", objects(&[("opt/libb.so", Elf::library("libb.so"))]), &Tree::new());
            let expected = if reaches { "libb.so deb:b <- deb:a" } else { "libb.so deb:a0 <- deb:a" };
            assert!(edges(&closure).contains(&expected.to_owned()), "{:?}", edges(&closure));
        }
    }

    #[test]
    fn a_vendored_library_serves_its_own_wheel_first_and_other_wheels_last() {
        let mut closure = closure();
        let module = || Elf::module().needs("libq.so.1");
        add(&mut closure, "wheel:a", &[("a/m.so", module()), ("a.libs/libq.so.1", Elf::library("libq.so.1"))]);
        add(&mut closure, "wheel:b", &[("b/m.so", module()), ("b/lib/libq.so.1", Elf::library("libq.so.1"))]);
        add(&mut closure, "wheel:c", &[("c/m.so", module())]);
        assert_eq!(edges(&closure), ["libq.so.1 wheel:a <- wheel:c"]);
    }

    #[test]
    fn a_wheel_borrows_from_another_and_the_system_from_none() {
        let mut closure = closure();
        add(&mut closure, "wheel:a", &[("a.libs/libz.so.1", Elf::library("libz.so.1"))]);
        add(&mut closure, "wheel:b", &[("b.so", Elf::module().needs("libz.so.1"))]);
        assert_eq!(closure.resolve().borrowed[0].soname, "libz.so.1");
        assert_eq!(missing(&closure), [""; 0]);
        add(&mut closure, "deb:python3", &[("usr/bin/python3", Elf::module().needs("libz.so.1"))]);
        assert_eq!(missing(&closure), ["libz.so.1"]);
        let library = [("usr/lib/libz.so.1", Elf::library("libz.so.1"))];
        closure.add_provider("deb:zlib1g", objects(&library), &Tree::new());
        assert_eq!(missing(&closure), [""; 0]);
        assert_eq!(closure.resolve().borrowed, []);
    }

    #[test]
    fn stubs_debug_files_and_other_machines_satisfy_nothing() {
        let mut closure = closure();
        add(&mut closure, "wheel:m", &[("m.so", Elf::module().needs("libx.so.1").needs("libcuda.so.1"))]);
        let library = || Elf::library("libx.so.1");
        add(&mut closure, "wheel:cuda", &[("cuda/lib/stubs/libcuda.so", Elf::library("libcuda.so.1"))]);
        add(&mut closure, "wheel:n", &[("n/stubs/libx.so.1", library()), ("usr/lib/debug/libx.so.1", library())]);
        let mut foreign = objects(&[("usr/lib/libx.so.1", library())]);
        foreign[0].1.platform = Some(Platform::ALL[1]);
        closure.add("wheel:arm", foreign, &Tree::new());
        assert_eq!(missing(&closure), ["libx.so.1"]);
        assert_eq!(edges(&closure), ["libcuda.so.1 host <- wheel:m"]);
    }

    #[test]
    fn a_program_needs_its_interpreter_and_a_note_its_required_library() {
        let mut closure = closure();
        let program = Elf::module()
            .interpreter("/lib64/ld-linux-x86-64.so.2")
            .dlopen_note(r#"[{"soname":["liba.so.2","liba.so.1"],"priority":"required"},{"soname":["libb.so.1"]}]"#);
        add(&mut closure, "artifact:p", &[("p", program)]);
        assert_eq!(missing(&closure), ["ld-linux-x86-64.so.2", "liba.so.2"]);
        assert_eq!(closure.resolve().wanted[0].soname, "libb.so.1");
        let loader = [("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", Elf::library("ld-linux-x86-64.so.2"))];
        let link = links(&[("usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")]);
        closure.add_provider("deb:libc6", objects(&loader), &link);
        closure.add_provider("deb:a", objects(&[("usr/lib/liba.so.1", Elf::library("liba.so.1"))]), &Tree::new());
        assert_eq!(missing(&closure), [""; 0]);
    }

    #[test]
    fn a_version_that_the_library_lacks_is_a_problem() {
        let mut closure = closure();
        let module = Elf::module().needs("libc.so.6").needs_version("libc.so.6", "GLIBC_2.38");
        add(&mut closure, "wheel:m", &[("m.so", module)]);
        let libc = Elf::library("libc.so.6").defines_version("GLIBC_2.4").defines_version("GLIBC_2.36");
        closure.add_provider("deb:libc6", objects(&[("usr/lib/libc.so.6", libc)]), &Tree::new());
        let problems = closure.resolve().version_problems;
        assert_eq!(
            problems[0].to_string(),
            "`m.so` of wheel:m needs GLIBC_2.38 of libc.so.6, but deb:libc6 has only GLIBC_2.36"
        );
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn the_order_of_adding_does_not_matter_and_cycles_end() {
        let packages = [
            ("wheel:a", [("a.so", Elf::library("liba.so").needs("libb.so").needs("libz.so"))]),
            ("wheel:b", [("b.so", Elf::library("libb.so").needs("liba.so"))]),
            ("wheel:c", [("c.so", Elf::module().needs("libb.so").needs("liba.so"))]),
        ];
        let resolve = |order: [usize; 3]| {
            let mut closure = closure();
            for index in order {
                add(&mut closure, packages[index].0, &packages[index].1);
            }
            closure.resolve()
        };
        assert_eq!(resolve([0, 1, 2]), resolve([2, 1, 0]));
        assert_eq!(resolve([0, 1, 2]), resolve([1, 2, 0]));
    }
}
