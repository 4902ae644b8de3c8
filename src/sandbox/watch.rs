//! Tells when files change, however an editor saves them: written in place, replaced by a rename, removed and created.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::{Diagnose, Exit};

/// Saving is many events; a change is told once none has come for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A file that never comes to rest is told of after this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file or folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("failed to watch `{}`", path.display())]
pub struct WatchError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    pub source: notify::Error,
}

impl Diagnose for WatchError {
    fn exit(&self) -> Exit {
        Exit::CannotRun
    }

    fn hints(&self) -> Vec<String> {
        match self.source.kind {
            notify::ErrorKind::MaxFilesWatch => {
                vec!["allow more watches: `sudo sysctl -w fs.inotify.max_user_watches=524288`".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Watches files and folders until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Calls `on_change`, from a thread of its own, with the paths that changed, sorted.
    ///
    /// A file is watched by name: it may vanish and come back. A folder stands for all that lies below it. Where a
    /// path is a symbolic link, what it leads to is watched as well.
    pub fn start(paths: &[PathBuf], on_change: impl FnMut(Vec<PathBuf>) + Send + 'static) -> Result<Self, WatchError> {
        let (tell, changes) = channel();
        let targets = paths.iter().map(|path| places(path)).collect::<Result<Vec<_>, _>>()?.concat();
        let watched = targets.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // An error says that events may be lost, which is best taken as a change.
            let changed = match event {
                Ok(event) if is_change(event.kind) => event.paths,
                Ok(_) => return,
                Err(error) => error.paths,
            };
            for path in changed.into_iter().filter(|path| watched.iter().any(|target| path.starts_with(target))) {
                // The other end is gone only while this watch is being dropped.
                let _ = tell.send(path);
            }
        };
        let wrap = |path: &Path| {
            let path = path.to_owned();
            |source| WatchError { path, source }
        };
        let mut watcher = notify::recommended_watcher(on_event).map_err(wrap(Path::new("/")))?;
        for target in &targets {
            if target.is_dir() {
                watcher.watch(target, RecursiveMode::Recursive).map_err(wrap(target))?;
            } else {
                // A watch on the file itself would end with the first rename over it.
                let folder = target.parent().unwrap_or(Path::new("/"));
                watcher.watch(folder, RecursiveMode::NonRecursive).map_err(wrap(folder))?;
            }
        }
        thread::spawn(move || tell_when_quiet(&changes, on_change));
        Ok(Self { _watcher: watcher })
    }
}

/// Returns where events of `path` are reported: its name in its real folder, and what it leads to.
fn places(path: &Path) -> Result<Vec<PathBuf>, WatchError> {
    let wrap = |error| WatchError { path: path.to_owned(), source: notify::Error::io(error) };
    let target = path.canonicalize().map_err(wrap)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let own = match path.file_name() {
        Some(name) => folder.canonicalize().map_err(wrap)?.join(name),
        None => target.clone(),
    };
    Ok(BTreeSet::from([own, target]).into_iter().collect())
}

/// Reading is an event as well, and the server reads its files each time it starts.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

fn tell_when_quiet(changes: &Receiver<PathBuf>, mut on_change: impl FnMut(Vec<PathBuf>)) {
    while let Ok(first) = changes.recv() {
        let (begin, mut paths) = (Instant::now(), BTreeSet::from([first]));
        while begin.elapsed() < PATIENCE {
            match changes.recv_timeout(QUIET) {
                Ok(path) => drop(paths.insert(path)),
                Err(_) => break,
            }
        }
        on_change(paths.into_iter().collect());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        changes: Receiver<Vec<PathBuf>>,
        _watch: Watch,
    }

    fn watch(name: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("service.py"), "1").unwrap();
        fs::create_dir_all(folder.path().join("models/deep")).unwrap();
        let (tell, changes) = channel();
        let watch = Watch::start(&[folder.path().join(name)], move |paths| drop(tell.send(paths))).unwrap();
        Place { folder, changes, _watch: watch }
    }

    impl Place {
        /// Returns the next change, whose one path is given relative to the folder.
        fn next(&self) -> PathBuf {
            let paths = self.changes.recv_timeout(Duration::from_secs(20)).expect("no change was told");
            let [path] = &*paths else { panic!("{paths:?}") };
            path.strip_prefix(self.folder.path().canonicalize().unwrap()).unwrap().to_owned()
        }
    }

    #[test]
    fn each_way_of_saving_is_one_change_and_the_next_one_is_seen_too() {
        let place = watch("service.py");
        let path = place.folder.path().join("service.py");
        let replace = || {
            let new = place.folder.path().join(".service.py.swp");
            fs::write(&new, "2").unwrap();
            fs::rename(&new, &path).unwrap();
        };
        let create_again = || {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "3").unwrap();
        };
        let touch = || fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let write = || fs::write(&path, "4").unwrap();
        for save in [&write as &dyn Fn(), &replace, &touch, &create_again, &write, &replace] {
            save();
            assert_eq!(place.next(), Path::new("service.py"));
        }
    }

    #[test]
    fn a_folder_stands_for_what_is_below_it() {
        let place = watch("models");
        fs::write(place.folder.path().join("models/deep/weights"), "1").unwrap();
        assert_eq!(place.next(), Path::new("models/deep/weights"));
    }

    #[test]
    fn reading_and_other_files_are_no_change() {
        let place = watch("service.py");
        fs::write(place.folder.path().join("other.py"), "1").unwrap();
        fs::read(place.folder.path().join("service.py")).unwrap();
        // What comes first is the write at the end: nothing before it was told.
        fs::write(place.folder.path().join("service.py"), "2").unwrap();
        assert_eq!(place.next(), Path::new("service.py"));
        assert!(place.changes.try_recv().is_err());
    }
}
