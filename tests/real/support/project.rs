//! Projects that were locked and built once, and copies of them for each test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use mlpack::digest::Digest;
use mlpack::fetch::Home;
use mlpack::image::{Image, ImageStore};
use mlpack::lock::{Lock, PlatformLock};
use mlpack::platform::Platform;

use super::scratch::{Scratch, copy};
use super::{Output, mlpack, run, succeed};

/// A service without any package: what it takes to try the machinery around a model.
const TINY: [(&str, &str); 2] = [
    (
        "manifest.yaml",
        "apiVersion: mlpack/v1\nname: tiny\nversion: 1.0.0\nlicense: CC0-1.0\n\
         runtime: {language: python, version: \"3.11\"}\nservice: service.py:Service\n\
         artifacts: {factor: factor.txt}\n\
         endpoints:\n  call:\n    task: custom\n    input: {type: json}\n    output: {type: json}\n\
         server: {workers: 1, timeout: 2s}\n",
    ),
    (
        "service.py",
        "import os\nimport time\n\n\nclass Service:\n    def __init__(self, bundle):\n        \
         self.factor = int(open(bundle.artifact(\"factor\")).read())\n\n    \
         def call(self, value):\n        print(\"called with\", value)\n        \
         if value == \"crash\":\n            os._exit(3)\n        \
         if value == \"hang\":\n            time.sleep(1000)\n        \
         return value * self.factor\n",
    ),
];

const COMPILED_R_MANIFEST: &str = "apiVersion: mlpack/v1\nname: compiled-r\nversion: 1.0.0\n\
    runtime:\n  language: r\n  version: \"4.2\"\n  packages: [\"cran::curl\", \"cran::later\", \"cran::xml2\"]\n  \
    repositories: {cran: repository}\nservice: service.R\n\
    endpoints:\n  call: {input: {type: text}, output: {type: text}}\nserver: {workers: 1}\n";

const COMPILED_R_SERVICE: &str = "load <- function(bundle) NULL\n\n\
    call <- function(state, value) xml2::xml_text(xml2::read_xml(value))\n";

/// A project that was locked and built once, in the home that all tests share.
pub struct Prepared {
    folder: PathBuf,
    home: PathBuf,
    /// The image's name with its digest.
    pub reference: String,
    /// The image's digest.
    pub digest: String,
}

/// A test's own copy of a project.
pub struct Project(Scratch);

/// Returns the example, a scikit-learn model.
pub fn example() -> &'static Prepared {
    static EXAMPLE: OnceLock<Prepared> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/b2x-python");
        Prepared::new("example", |folder| {
            for name in ["manifest.yaml", "requirements.txt", "service.py", "features.py", "models/small.joblib"] {
                place(&folder.join(name), &fs::read(source.join(name)).unwrap());
            }
            copy(&source.join("data"), &folder.join("data"));
        })
    })
}

/// Returns the example in R, a glm.
pub fn example_r() -> &'static Prepared {
    static EXAMPLE_R: OnceLock<Prepared> = OnceLock::new();
    EXAMPLE_R.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/b2x-r");
        Prepared::new("example-r", |folder| {
            for name in ["manifest.yaml", "service.R", "features.R", "models/small.rds"] {
                place(&folder.join(name), &fs::read(source.join(name)).unwrap());
            }
            copy(&source.join("data"), &folder.join("data"));
        })
    })
}

/// Returns a service in R that does all that a service can do wrong, and knows all types.
pub fn tiny_r() -> &'static Prepared {
    static TINY_R: OnceLock<Prepared> = OnceLock::new();
    TINY_R.get_or_init(|| {
        Prepared::new("tiny-r", |folder| {
            place(&folder.join("manifest.yaml"), include_bytes!("tiny-r/manifest.yaml"));
            place(&folder.join("service.R"), include_bytes!("tiny-r/service.R"));
        })
    })
}

/// Returns a service in Python that does all that a service can do wrong.
pub fn faulty_python() -> &'static Prepared {
    static FAULTY_PYTHON: OnceLock<Prepared> = OnceLock::new();
    FAULTY_PYTHON.get_or_init(|| {
        Prepared::new("faulty-python", |folder| {
            place(&folder.join("manifest.yaml"), include_bytes!("faulty-python/manifest.yaml"));
            place(&folder.join("service.py"), include_bytes!("faulty-python/service.py"));
        })
    })
}

/// Returns a service in R with models of several frameworks, and with maps.
pub fn many_r() -> &'static Prepared {
    static MANY_R: OnceLock<Prepared> = OnceLock::new();
    MANY_R.get_or_init(|| {
        Prepared::new("many-r", |folder| {
            publish_sources(&folder.join("repository"), &["mlr"]);
            place(&folder.join("manifest.yaml"), include_bytes!("many-r/manifest.yaml"));
            place(&folder.join("service.R"), include_bytes!("many-r/service.R"));
        })
    })
}

/// Returns a service in R whose packages are compiled: xml2 and curl, which need libraries of the system, and later, which
/// needs Rcpp. Their repository is made of Debian's source packages.
pub fn compiled_r() -> &'static Prepared {
    static COMPILED_R: OnceLock<Prepared> = OnceLock::new();
    COMPILED_R.get_or_init(|| {
        Prepared::new("compiled-r", |folder| {
            publish_sources(&folder.join("repository"), &["Rcpp", "curl", "later", "xml2"]);
            place(&folder.join("manifest.yaml"), COMPILED_R_MANIFEST.as_bytes());
            place(&folder.join("service.R"), COMPILED_R_SERVICE.as_bytes());
        })
    })
}

/// Makes a repository of Debian's source packages of these R packages; what is there already is kept.
fn publish_sources(repository: &Path, names: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/support/cran.py");
    succeed(Command::new("python3").arg(script).arg(repository).args(names));
}

/// Returns a service without any package.
pub fn tiny() -> &'static Prepared {
    static TINY_PROJECT: OnceLock<Prepared> = OnceLock::new();
    TINY_PROJECT.get_or_init(|| {
        Prepared::new("tiny", |folder| {
            for (name, text) in TINY {
                place(&folder.join(name), text.as_bytes());
            }
            place(&folder.join("factor.txt"), b"2\n");
        })
    })
}

/// Returns the server program, built where `MLPACK_SERVER` names none.
pub fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        std::env::var("MLPACK_SERVER").unwrap_or_else(|_| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes/build-server.sh");
            succeed(Command::new("sh").arg(script)).stdout.trim().to_owned()
        })
    })
}

impl Prepared {
    /// Locks and builds, one process after the other; a lock of an earlier run is kept while it fits.
    fn new(name: &str, write: impl FnOnce(&Path)) -> Self {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared");
        let (folder, home) = (shared.join(name), shared.join("home"));
        fs::create_dir_all(&folder).unwrap();
        let guard = File::create(shared.join("lock")).unwrap();
        guard.lock().unwrap();
        write(&folder);
        let build = || run(mlpack(&home).arg("build").arg(folder.join("manifest.yaml")));
        let mut output = build();
        if output.code == 3 && fs::remove_file(folder.join("mlpack.lock")).is_ok() {
            output = build();
        }
        assert_eq!(output.code, 0, "{}", output.stderr);
        let reference = output.stdout.trim().to_owned();
        // Tests give the image's usual name to others.
        succeed(mlpack(&home).args(["tag", &reference, &format!("prepared-{name}")]));
        Self { folder, home, reference, digest: output.digest() }
    }

    /// Returns a copy with its lock.
    pub fn copy(&self) -> Project {
        let folder = Scratch::new();
        copy(&self.folder, &folder);
        Project(folder)
    }

    /// Builds the image into an archive that every engine can load.
    pub fn archive(&self, folder: &Path) -> PathBuf {
        let file = folder.join("image.tar");
        let output = format!("docker-archive:{}", file.display());
        let options = ["--offline", "--compression", "gzip", "--output", &output];
        succeed(self.copy().command(self.home(), "build").args(options));
        file
    }

    /// Returns the home in which it was built, which all tests share.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the image in the shared home.
    pub fn image(&self) -> (ImageStore, Image) {
        let store = ImageStore::open(&Home::below(&self.home)).unwrap();
        let stored = store.find(&self.digest).unwrap();
        let image = store.images(&stored.descriptor).unwrap().remove(0);
        (store, image)
    }

    /// Returns what was chosen for this machine.
    pub fn lock(&self) -> PlatformLock {
        let path = self.folder.join("mlpack.lock");
        let lock = Lock::read(&path).unwrap().expect("the project was locked");
        lock.platform(Platform::host().unwrap(), &path).unwrap().clone()
    }

    /// Returns a new home that has the downloads and nothing made of them.
    pub fn fresh_home(&self) -> Scratch {
        let home = Scratch::new();
        let blobs = home.join("cache/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for package in self.lock().inputs() {
            let name = package.sha256.hex();
            fs::hard_link(self.home.join("cache/blobs/sha256").join(&name), blobs.join(name)).unwrap();
        }
        home
    }
}

impl Project {
    /// The project's folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns the path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads one of its files.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces a text in one of its files, by a rename as editors do it.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "`{from}` is not in {name}");
        self.write(name, &text.replace(from, to));
    }

    /// Writes one of its files, by a rename as editors do it.
    pub fn write(&self, name: &str, text: &str) {
        let temporary = self.path(&format!("{name}.new"));
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.path(name)).unwrap();
    }

    /// Returns `mlpack COMMAND MANIFEST` for this project.
    pub fn command(&self, home: &Path, command: &str) -> Command {
        let mut mlpack = mlpack(home);
        mlpack.arg(command).arg(self.path("manifest.yaml"));
        mlpack
    }

    /// Builds without network what the lock says.
    pub fn build_locked(&self, home: &Path) -> Output {
        run(self.command(home, "build").args(["--locked", "--offline"]))
    }
}

/// Writes a file unless it is the same already: a new time would look like a change.
fn place(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Fails unless every blob below a home has its name's digest.
pub fn check_blobs(home: &Path) {
    for folder in ["cache/blobs/sha256", "images/blobs/sha256"] {
        let Ok(entries) = fs::read_dir(home.join(folder)) else { continue };
        for entry in entries.map(Result::unwrap) {
            let digest = Digest::of(&fs::read(entry.path()).unwrap());
            assert_eq!(digest.hex(), entry.file_name().to_str().unwrap(), "in {folder}");
        }
    }
}
