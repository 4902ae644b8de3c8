//! One walk over the objects of a [`Closure`], from the roots along their needs, as the loader would go.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::closure::{Closure, Member, Missing, Resolution, VersionProblem};
use super::host;
use super::links::{file_name, folder};
use super::object::Priority;
use crate::layer::tree::TreePath;
use crate::lock::Library;

/// The provider's name of what the host brings.
const HOST: &str = "host";

/// How many folders of a RPATH or RUNPATH are searched; real ones have a few.
const MAX_FOLDERS: usize = 256;

/// Where a needed library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Member(usize),
    /// In another wheel, where the loader finds it only once something has loaded it.
    Borrowed(usize),
    Host,
    /// The kernel maps it into each process.
    Kernel,
}

/// The state of the walk. Objects are named by their index.
#[derive(Debug)]
pub(super) struct Search<'a> {
    closure: &'a Closure,
    members: Vec<&'a Member>,
    /// The objects' paths with links followed.
    paths: Vec<String>,
    by_path: HashMap<String, usize>,
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Each reached object's loader: the object that needed it first.
    loaders: HashMap<usize, Option<usize>>,
    missing: BTreeMap<String, BTreeSet<(String, TreePath)>>,
    wanted: BTreeMap<String, BTreeSet<(String, TreePath)>>,
    borrowed: BTreeMap<String, BTreeSet<(String, TreePath)>>,
    edges: BTreeMap<(String, String), BTreeSet<String>>,
    problems: BTreeSet<VersionProblem>,
}

impl<'a> Search<'a> {
    /// Prepares to walk over `members`, which are in the order of owner and path.
    pub(super) fn new(closure: &'a Closure, members: Vec<&'a Member>) -> Self {
        // A loop of links leads nowhere; the path as given then stands for itself.
        let canonical = |member: &&Member| {
            let path = member.path.as_str();
            closure.links.canonical(path).unwrap_or_else(|| path.to_owned())
        };
        let paths: Vec<_> = members.iter().map(canonical).collect();
        let by_path = paths.iter().cloned().zip(0..).collect();
        let by_name = names(closure, &members, &by_path);
        Self {
            closure,
            members,
            paths,
            by_path,
            by_name,
            loaders: HashMap::new(),
            missing: BTreeMap::new(),
            wanted: BTreeMap::new(),
            borrowed: BTreeMap::new(),
            edges: BTreeMap::new(),
            problems: BTreeSet::new(),
        }
    }

    pub(super) fn run(mut self) -> Resolution {
        // Those that nothing needs come first: a library's search depends on what loads it.
        let needed: HashSet<&str> =
            self.members.iter().flat_map(|member| &member.object.needed).map(String::as_str).collect();
        let is_needed = |member: &Member| {
            needed.contains(member.path.file_name())
                || member.object.soname.as_deref().is_some_and(|soname| needed.contains(soname))
        };
        let roots = (0..self.members.len()).filter(|index| self.members[*index].root);
        let (later, first): (Vec<_>, Vec<_>) = roots.partition(|index| is_needed(self.members[*index]));
        for root in first.into_iter().chain(later) {
            self.reach(root);
        }
        self.finish()
    }

    /// Loads one object, and breadth first all that it needs.
    fn reach(&mut self, root: usize) {
        let mut queue = VecDeque::new();
        if let Entry::Vacant(entry) = self.loaders.entry(root) {
            entry.insert(None);
            queue.push_back(root);
        }
        while let Some(index) = queue.pop_front() {
            for found in self.load(index) {
                if let Entry::Vacant(entry) = self.loaders.entry(found) {
                    entry.insert(Some(index));
                    queue.push_back(found);
                }
            }
        }
    }

    /// Resolves one object's needs, and returns the objects that have them.
    fn load(&mut self, index: usize) -> Vec<usize> {
        let object = &self.members[index].object;
        let mut found = Vec::new();
        // Tools that rewrite objects leave empty names behind, which the loader passes over.
        for name in object.interpreter.iter().chain(&object.needed).filter(|name| !file_name(name).is_empty()) {
            match self.find(index, name) {
                Some(provider) => found.extend(self.connect(index, name, provider)),
                None => miss(&mut self.missing, name, self.members[index]),
            }
        }
        for note in &object.dlopen {
            let Some(first) = note.soname.first() else { continue };
            match note.soname.iter().find_map(|name| Some((name, self.find(index, name)?))) {
                Some((name, provider)) => found.extend(self.connect(index, name, provider)),
                None if note.priority == Priority::Required => {
                    miss(&mut self.missing, first, self.members[index]);
                }
                None => miss(&mut self.wanted, first, self.members[index]),
            }
        }
        found
    }

    /// Notes that a need is met, and returns the object that meets it.
    fn connect(&mut self, index: usize, name: &str, found: Found) -> Option<usize> {
        match found {
            Found::Member(provider) | Found::Borrowed(provider) => {
                if let Found::Borrowed(_) = found {
                    miss(&mut self.borrowed, name, self.members[index]);
                }
                self.edge(index, name, &self.members[provider].owner);
                self.check_versions(index, name, provider);
                Some(provider)
            }
            Found::Host => {
                self.edge(index, name, HOST);
                None
            }
            Found::Kernel => None,
        }
    }

    fn find(&self, index: usize, name: &str) -> Option<Found> {
        if name.starts_with("linux-vdso.so") || name.starts_with("linux-gate.so") {
            return Some(Found::Kernel);
        }
        if name.contains('/') {
            // A relative path starts at the process's working folder, where no library of an image is.
            let path = Some(self.expand(index, name)).filter(|path| path.starts_with('/'));
            return path.and_then(|path| self.at(&path)).map(Found::Member);
        }
        let owner = &self.members[index].owner;
        self.search(index, name)
            .or_else(|| self.named(name, |other| other.owner == *owner))
            .map(Found::Member)
            .or_else(|| host::reason(name).map(|_| Found::Host))
            .or_else(|| self.named(name, Member::is_system).map(Found::Member))
            // What is the system's is loaded before any wheel is, and knows nothing of them.
            .or_else(|| {
                if self.members[index].is_system() { None } else { self.named(name, |_| true).map(Found::Borrowed) }
            })
    }

    /// Searches the folders that the loader would, in its order.
    fn search(&self, index: usize, name: &str) -> Option<usize> {
        let runpath = &self.members[index].object.runpath;
        let mut loader = if runpath.is_none() { Some(index) } else { None };
        while let Some(current) = loader {
            let object = &self.members[current].object;
            if let (Some(rpath), None) = (&object.rpath, &object.runpath)
                && let Some(found) = self.in_folders(current, rpath, name)
            {
                return Some(found);
            }
            loader = self.loaders.get(&current).copied().flatten();
        }
        let found = runpath.as_ref().and_then(|runpath| self.in_folders(index, runpath, name));
        let mut defaults = self.closure.folders.iter();
        found.or_else(|| defaults.find_map(|folder| self.at(&format!("{folder}/{name}"))))
    }

    fn in_folders(&self, index: usize, folders: &str, name: &str) -> Option<usize> {
        // An empty or relative folder means the process's working folder, where no library of an image is.
        let folders = folders.split(':').take(MAX_FOLDERS).map(|folder| self.expand(index, folder));
        folders.filter(|folder| folder.starts_with('/')).find_map(|folder| self.at(&format!("{folder}/{name}")))
    }

    /// Replaces the loader's variables, as seen from an object.
    fn expand(&self, index: usize, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let platform = self.closure.platform;
        let origin = format!("/{}", folder(&self.paths[index]));
        let library = format!("lib/{}", platform.triplet());
        let values = [("ORIGIN", &*origin), ("LIB", &library), ("PLATFORM", platform.machine())];
        values.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }

    fn at(&self, path: &str) -> Option<usize> {
        self.by_path.get(&*self.closure.links.canonical(path)?).copied()
    }

    fn named(&self, name: &str, fits: impl Fn(&Member) -> bool) -> Option<usize> {
        self.by_name.get(name)?.iter().copied().find(|index| fits(self.members[*index]))
    }

    fn edge(&mut self, index: usize, name: &str, provider: &str) {
        let owner = &self.members[index].owner;
        if owner != provider {
            let edge = (file_name(name).to_owned(), provider.to_owned());
            self.edges.entry(edge).or_default().insert(owner.clone());
        }
    }

    fn check_versions(&mut self, index: usize, name: &str, provider: usize) {
        let (member, provider) = (self.members[index], self.members[provider]);
        let defined = &provider.object.version_definitions;
        // Like the loader: a library without any versions has them all.
        if defined.is_empty() {
            return;
        }
        let needs = member.object.version_needs.iter().filter(|need| need.file == name);
        for version in needs.flat_map(|need| &need.versions).filter(|version| !defined.contains(version)) {
            self.problems.insert(VersionProblem {
                owner: member.owner.clone(),
                object: member.path.clone(),
                library: name.to_owned(),
                provider: provider.owner.clone(),
                version: version.clone(),
                newest: newest(version, defined),
            });
        }
    }

    fn finish(self) -> Resolution {
        let missing =
            |(soname, needed_by): (_, BTreeSet<_>)| Missing { soname, needed_by: needed_by.into_iter().collect() };
        let edge = |((soname, provider), needed_by): (_, BTreeSet<_>)| Library {
            soname,
            provider,
            needed_by: needed_by.into_iter().collect(),
        };
        let mut reached: Vec<_> = self.loaders.keys().copied().collect();
        reached.sort_unstable();
        let named = |index: usize| (self.members[index].owner.clone(), self.members[index].path.clone());
        let demanding = reached.iter().filter(|index| self.members[**index].is_demanding());
        let demanding = demanding.map(|index| {
            let (owner, path) = named(*index);
            (owner, path, self.members[*index].object.isa_level + 1)
        });
        Resolution {
            demanding: demanding.collect(),
            missing: self.missing.into_iter().map(missing).collect(),
            wanted: self.wanted.into_iter().map(missing).collect(),
            borrowed: self.borrowed.into_iter().map(missing).collect(),
            edges: self.edges.into_iter().map(edge).collect(),
            version_problems: self.problems.into_iter().collect(),
            reached: reached.into_iter().map(named).collect(),
        }
    }
}

/// Returns the objects by each name that a need may give: of the file, of links to it, and the soname.
fn names<'a>(
    closure: &'a Closure,
    members: &[&'a Member],
    by_path: &HashMap<String, usize>,
) -> HashMap<&'a str, Vec<usize>> {
    let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, member) in members.iter().enumerate() {
        names.entry(member.path.file_name()).or_default().push(index);
        if let Some(soname) = &member.object.soname {
            names.entry(soname).or_default().push(index);
        }
    }
    for link in closure.links.libraries() {
        let target = closure.links.canonical(link);
        if let Some(index) = target.and_then(|target| by_path.get(&target)) {
            names.entry(file_name(link)).or_default().push(*index);
        }
    }
    for indexes in names.values_mut() {
        indexes.sort_unstable();
        indexes.dedup();
    }
    names
}

fn miss(missing: &mut BTreeMap<String, BTreeSet<(String, TreePath)>>, name: &str, member: &Member) {
    missing.entry(file_name(name).to_owned()).or_default().insert((member.owner.clone(), member.path.clone()));
}

/// Returns the newest of the versions with the same name before the number as `version`.
fn newest(version: &str, defined: &[String]) -> Option<String> {
    let (family, _) = version.rsplit_once('_')?;
    let number = |version: &str| -> Option<Vec<u32>> {
        let (name, number) = version.rsplit_once('_')?;
        (name == family).then(|| number.split('.').map(|part| part.parse().ok()).collect())?
    };
    number(version)?;
    defined.iter().filter(|defined| number(defined).is_some()).max_by_key(|defined| number(defined)).cloned()
}
