//! The whole program, from a manifest to an image, against a small archive of its own: nothing here needs a network.
//!
//! The packages hold no modules, so that nothing is compiled and no namespace is needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use mlpack::digest::Digest;
use mlpack::image::ImageStore;
use mlpack::image::validate::validate;
use mlpack::lock::Lock;
use support::deb::{deb, deb_with};
use support::debian::{DAY, Demo, Release, now, stanza};
use support::program::{AMD64, ARM64, static_program};

/// What a Python image begins with, by the runtime's description.
const PACKAGES: [&str; 11] = [
    "base-files",
    "base-passwd",
    "ca-certificates",
    "libc-bin",
    "media-types",
    "netbase",
    "tzdata",
    "python3.11",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
];

const MANIFEST: &str = "apiVersion: mlpack/v1
name: demo
version: 1.0.0
runtime: {language: python, version: '3.11'}
service: service.py:Demo
code: [code]
artifacts: {model: model.bin}
endpoints:
  echo: {input: {type: text}, output: {type: text}}
platforms: [linux/amd64]
";

/// A project, the archive that it is built from, and folders for homes.
struct Fixture {
    folder: tempfile::TempDir,
    demo: Demo,
    packages: String,
}

impl Fixture {
    fn new() -> Self {
        let packages = PACKAGES.map(|name| (name, deb(name, &[(&format!("./usr/share/{name}/data"), name)])));
        let index: String = packages.iter().map(|(name, deb)| stanza(name, "", deb)).collect();
        let demo = Demo::named("bookworm", &index, "");
        for (name, deb) in &packages {
            demo.put(&format!("pool/{name}_1_amd64.deb"), deb);
        }
        let fixture = Self { folder: tempfile::tempdir().unwrap(), demo, packages: index };
        fixture.write("server", &static_program(AMD64));
        fixture.write("project/manifest.yaml", MANIFEST.as_bytes());
        fixture.write("project/service.py", b"class Demo: pass\n");
        fixture.write("project/code/a/b.py", b"x = 1\n");
        fixture.write("project/model.bin", &vec![7; 100_000]);
        fixture
    }

    /// Adds a package to a release.
    fn add(&mut self, release: &str, name: &str, version: &str, fields: &str, deb: &[u8]) {
        let stanza = stanza(name, fields, deb).replace("Version: 1\n", &format!("Version: {version}\n"));
        let stanza = stanza.replace("_1_amd64", &format!("_{version}_amd64"));
        self.demo.put(&format!("pool/{name}_{version}_amd64.deb"), deb);
        if release == "bookworm" {
            self.packages.push_str(&stanza);
            self.demo.publish(&Release { packages: &self.packages, ..Release::new(release) });
        } else {
            self.demo.publish(&Release { packages: &stanza, ..Release::new(release) });
        }
    }

    /// Locks with `system` in the manifest; returns the exit code, and the lock's text or the messages.
    fn lock(&self, system: &str) -> (i32, String) {
        let manifest = MANIFEST.replace("platforms:", &format!("system: {system}\nplatforms:"));
        self.write("project/manifest.yaml", manifest.as_bytes());
        let (code, _, messages) = self.run("project", "home", &["lock", "--update"]);
        let lock = || std::fs::read_to_string(self.path("project/mlpack.lock")).unwrap();
        (code, if code == 0 { lock() } else { messages })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// `mlpack` in a project's folder with a home of its own.
    fn command(&self, project: &str, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlpack"));
        command.current_dir(self.path(project)).args(arguments);
        command.env("MLPACK_HOME", self.path(home)).env("MLPACK_SERVER", self.path("server"));
        command.env("MLPACK_DEBIAN_MIRROR", self.demo.address());
        command.env("MLPACK_DEBIAN_SECURITY_MIRROR", self.demo.address());
        command.env("MLPACK_DEBIAN_KEYRING", self.demo.keyring()).env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs it, and returns its exit code, result and messages.
    fn run(&self, project: &str, home: &str, arguments: &[&str]) -> (i32, String, String) {
        outcome(&mut self.command(project, home, arguments))
    }

    /// Runs a build that must succeed, and returns its line.
    fn build(&self, home: &str, arguments: &[&str]) -> String {
        let (code, line, messages) = self.run("project", home, &[&["build"], arguments].concat());
        assert_eq!(code, 0, "{messages}");
        line
    }

    fn check(&self, home: &str) {
        let store = ImageStore::at(&self.path(home).join("images")).unwrap();
        let image = store.find("demo:1.0.0").unwrap();
        assert_eq!(validate(&store, &image.descriptor).unwrap().images, 1);
    }
}

fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn one_lock_gives_one_image_wherever_it_is_built() {
    let fixture = Fixture::new();
    let line = fixture.build("home", &[]);
    fixture.check("home");
    for file in files(&fixture.path("project")) {
        let inside = file.strip_prefix(fixture.path("project")).unwrap().to_str().unwrap().to_owned();
        fixture.write(&format!("elsewhere/{inside}"), &std::fs::read(&file).unwrap());
    }
    let built = fixture.command("elsewhere", "other-home", &["build", "--locked"]);
    let mut surroundings = Command::new("sh");
    surroundings.args(["-c", "umask 077 && exec \"$0\" \"$@\""]).arg(built.get_program()).args(built.get_args());
    surroundings.current_dir(built.get_current_dir().unwrap());
    surroundings.envs(built.get_envs().filter_map(|(name, value)| Some((name, value?))));
    surroundings.envs([("TZ", "Asia/Tokyo"), ("LC_ALL", "tr_TR.UTF-8"), ("RAYON_NUM_THREADS", "1")]);
    surroundings.env_remove("SOURCE_DATE_EPOCH");
    let (code, again, messages) = outcome(&mut surroundings);
    assert_eq!((code, again), (0, line), "{messages}");
    fixture.check("other-home");
}

#[test]
fn a_build_that_is_not_what_was_locked_says_what_differs() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run("project", "home", &["build", "--locked"]).0, 3);
    fixture.build("home", &[]);
    fixture.write("project/code/a/b.py", b"x = 2\n");
    let (code, line, messages) = fixture.run("project", "home", &["build", "--locked"]);
    assert_eq!((code, line.as_str()), (8, ""));
    assert!(messages.contains("layers that differ: `service`\n"), "{messages}");
    let (code, ..) = outcome(fixture.command("project", "home", &["build"]).env("SOURCE_DATE_EPOCH", "soon"));
    assert_eq!(code, 2);
}

#[test]
fn what_is_in_the_cache_needs_no_network() {
    let fixture = Fixture::new();
    let line = fixture.build("home", &[]);
    fixture.demo.files.lock().unwrap().clear();
    std::fs::remove_dir_all(fixture.path("home/images")).unwrap();
    assert_eq!(fixture.build("home", &["--locked", "--offline"]), line);
    fixture.check("home");
    let (code, _, messages) = fixture.run("project", "empty-home", &["build", "--offline"]);
    assert_eq!(code, 6, "{messages}");
    assert!(messages.contains("hint: run the command once without `--offline`"), "{messages}");
}

#[test]
fn what_the_cache_or_the_store_loses_is_made_again() {
    let fixture = Fixture::new();
    let line = fixture.build("home", &[]);
    let cut = |path: &Path| std::fs::write(path, &std::fs::read(path).unwrap()[..100]).unwrap();
    let model = format!("home/images/blobs/sha256/{}", largest_layer(&fixture));
    cut(&fixture.path(&model));
    assert_eq!(fixture.build("home", &["--locked"]), line);
    fixture.check("home");
    for lost in ["home/cache/blobs", "home/cache/derived", "home/images", "home/cache"] {
        std::fs::remove_dir_all(fixture.path(lost)).unwrap();
        assert_eq!(fixture.build("home", &["--locked"]), line, "{lost}");
        fixture.check("home");
    }
    for blob in files(&fixture.path("home/cache/blobs")) {
        let mut bytes = std::fs::read(&blob).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&blob, bytes).unwrap();
    }
    std::fs::remove_dir_all(fixture.path("home/images")).unwrap();
    assert_eq!(fixture.build("home", &["--locked"]), line);
    fixture.check("home");
}

/// The digest of the image's largest layer.
fn largest_layer(fixture: &Fixture) -> String {
    let store = ImageStore::at(&fixture.path("home/images")).unwrap();
    let image = store.read(&store.find("demo:1.0.0").unwrap().descriptor).unwrap();
    image.layers().iter().max_by_key(|layer| layer.size).unwrap().digest.hex()
}

#[test]
fn an_older_archive_is_refused_even_after_the_manifest_changed() {
    let fixture = Fixture::new();
    fixture.build("home", &[]);
    let lock = std::fs::read(fixture.path("project/mlpack.lock")).unwrap();
    let old = Release { packages: &fixture.packages, date: now() - DAY, ..Release::new("bookworm") };
    fixture.demo.publish(&old);
    let changed = MANIFEST.replace("platforms:", "system: {packages: [tzdata]}\nplatforms:");
    fixture.write("project/manifest.yaml", changed.as_bytes());
    assert_eq!(fixture.run("project", "new-home", &["build"]).0, 3);
    let (code, _, messages) = fixture.run("project", "new-home", &["lock", "--update"]);
    assert_eq!(code, 5, "{messages}");
    assert_eq!(std::fs::read(fixture.path("project/mlpack.lock")).unwrap(), lock);
}

#[test]
fn two_manifests_of_one_folder_have_a_lock_each() {
    let fixture = Fixture::new();
    fixture.build("home", &[]);
    fixture.write("project/small.yaml", MANIFEST.replace("artifacts: {model: model.bin}\n", "").as_bytes());
    fixture.build("home", &["small.yaml", "--tag", "small"]);
    fixture.build("home", &["small.yaml", "--tag", "small", "--locked"]);
    fixture.build("home", &["--locked"]);
    assert!(fixture.path("project/small.lock").exists());
}

#[test]
fn each_platform_gets_the_server_that_is_made_for_it() {
    let fixture = Fixture::new();
    fixture.write("arm64", &static_program(ARM64));
    let line = fixture.build("home", &[]);
    let servers = [fixture.path("arm64"), fixture.path("server")].map(|path| path.display().to_string()).join(":");
    let mut command = fixture.command("project", "home", &["build", "--locked"]);
    let (code, again, messages) = outcome(command.env("MLPACK_SERVER", servers));
    assert_eq!((code, again), (0, line), "{messages}");
}

#[test]
fn mistakes_are_told_before_anything_is_built() {
    let fixture = Fixture::new();
    for (arguments, code, message) in [
        (&["--tag", "Bad Name"][..], 2, "error: `Bad Name` is not an image name"),
        (&["--output", "ftp:x"], 2, "error: unknown output `ftp:x`"),
        (&["--platform", "linux/arm64"], 1, "is not a static program for linux/arm64\nhint: build it with"),
    ] {
        let (found, line, messages) = fixture.run("project", "home", &[&["build"], arguments].concat());
        assert_eq!((found, line.as_str()), (code, ""), "{messages}");
        assert!(messages.contains(message), "{messages}");
    }
    assert!(!fixture.path("project/mlpack.lock").exists());
}

#[test]
fn every_output_is_the_image_that_was_built() {
    let fixture = Fixture::new();
    let outputs = ["--output", "oci:layout", "--output", "oci-archive:a.tar", "--output", "docker-archive:d.tar"];
    fixture.build("home", &outputs);
    let layout = ImageStore::at(&fixture.path("project/layout")).unwrap();
    validate(&layout, &layout.find("demo:1.0.0").unwrap().descriptor).unwrap();
    let digest = |name: &str| Digest::of(&std::fs::read(fixture.path("project").join(name)).unwrap());
    let first = ["a.tar", "d.tar"].map(digest);
    fixture.build("home", &outputs);
    assert_eq!(["a.tar", "d.tar"].map(digest), first);
}

/// Vendors the built project into `project/vendor`, and takes the archive away.
fn vendor(fixture: &Fixture) {
    let (code, line, messages) = fixture.run("project", "home", &["vendor", "vendor"]);
    assert_eq!((code, line.as_str()), (0, "vendor\n"), "{messages}");
    fixture.demo.files.lock().unwrap().clear();
}

/// Builds what is locked from the vendored inputs alone, with no server program but theirs.
fn build_vendored(fixture: &Fixture, home: &str) -> (i32, String, String) {
    let arguments = ["build", "--locked", "--offline", "--vendor", "vendor"];
    outcome(fixture.command("project", home, &arguments).env_remove("MLPACK_SERVER"))
}

#[test]
fn vendored_inputs_give_the_same_image_without_archive_server_or_cache() {
    let fixture = Fixture::new();
    let line = fixture.build("home", &[]);
    vendor(&fixture);
    let (code, again, messages) = build_vendored(&fixture, "empty-home");
    assert_eq!((code, again), (0, line), "{messages}");
    fixture.check("empty-home");
    let lock = std::fs::read_to_string(fixture.path("project/mlpack.lock")).unwrap();
    assert!(!lock.contains("vendor"), "{lock}");
}

#[test]
fn a_vendored_file_with_other_bytes_is_refused() {
    let fixture = Fixture::new();
    fixture.build("home", &[]);
    vendor(&fixture);
    let lock = Lock::read(&fixture.path("project/mlpack.lock")).unwrap().unwrap();
    let package = lock.platforms.values().next().unwrap().inputs().next().unwrap();
    let file = fixture.path("project/vendor/blobs/sha256").join(package.sha256.hex());
    let sound = std::fs::read(&file).unwrap();
    let mut changed = sound.clone();
    *changed.last_mut().unwrap() ^= 1;
    for bytes in [&changed[..], &sound[1..], &[&sound[..], b"x"].concat()] {
        std::fs::write(&file, bytes).unwrap();
        let (code, line, messages) = build_vendored(&fixture, "empty-home");
        assert_eq!((code, line.as_str()), (5, ""), "{messages}");
        assert!(messages.contains(&format!("vendor/blobs/sha256/{} is not what was expected", package.sha256.hex())));
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(build_vendored(&fixture, "empty-home").0, 6);
    // Vendoring again mends what was lost.
    assert_eq!(fixture.run("project", "home", &["vendor", "vendor"]).0, 0);
    assert_eq!(build_vendored(&fixture, "empty-home").0, 0);
}

#[test]
fn only_a_folder_of_vendored_inputs_is_written_to_and_read() {
    let fixture = Fixture::new();
    let before = files(&fixture.path("project"));
    let (code, _, messages) = fixture.run("project", "home", &["vendor", "code"]);
    assert_eq!(code, 1, "{messages}");
    assert!(messages.contains("error: `code` is in the way"), "{messages}");
    let (code, _, messages) = fixture.run("project", "home", &["build", "--vendor", "code"]);
    assert_eq!(code, 1, "{messages}");
    assert!(messages.contains("error: `code` holds no vendored inputs\nhint: `mlpack vendor code` fills it"));
    let (code, ..) = fixture.run("project", "home", &["vendor", "registry.example.org/Not A Name"]);
    assert_eq!(code, 2);
    assert_eq!(files(&fixture.path("project")), before);
}

#[test]
fn a_pin_chooses_among_the_versions_of_all_releases() {
    let mut fixture = Fixture::new();
    let newer = deb_with("tzdata", "2", &[], &[("./usr/share/tzdata/data", "newer")]);
    fixture.add("bookworm-security", "tzdata", "2", "", &newer);
    let version = |lock: &str| {
        let (_, rest) = lock.split_once("name = \"tzdata\"\nversion = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    for (system, expected) in [
        ("{}", "2"),
        ("{pins: [tzdata/bookworm]}", "1"),
        ("{pins: [tzdata=1]}", "1"),
        ("{packages: [tzdata (<< 2)]}", "1"),
        ("{packages: [tzdata/bookworm-security]}", "2"),
    ] {
        let (code, lock) = fixture.lock(system);
        assert_eq!((code, version(&lock).as_str()), (0, expected), "{system}");
    }
    let (code, lock) = fixture.lock("{pins: [tzdata=1]}");
    assert!(code == 0 && lock.contains("\"pin tzdata=1\""), "{lock}");
    let (code, messages) = fixture.lock("{pins: [tzdata=3]}");
    let expected = "error: there is no package `tzdata (= 3)`, which manifest asks for: the archive has 2 \
                    (bookworm-security), 1 (bookworm)\nhint: ask for a version that the archive has";
    assert!(code == 4 && messages.contains(expected), "{messages}");
}

#[test]
fn a_suite_is_used_where_the_manifest_names_it() {
    let mut fixture = Fixture::new();
    let newer = deb_with("tzdata", "2", &[], &[("./usr/share/tzdata/data", "newer")]);
    fixture.add("bookworm-backports", "tzdata", "2", "", &newer);
    let (code, lock) = fixture.lock("{packages: [tzdata/bookworm-backports], suites: [bookworm-backports]}");
    assert!(code == 0 && lock.contains("release = \"bookworm-backports\""), "{lock}");
    assert!(lock.contains("\"suite bookworm-backports\""), "{lock}");
    let (code, messages) = fixture.lock("{packages: [tzdata/bookworm-backports]}");
    let expected = "error: `tzdata/bookworm-backports` asks for a suite that is not among bookworm, bookworm-updates, \
                    bookworm-security\nhint: add `bookworm-backports` to `system.suites`";
    assert!(code == 4 && messages.contains(expected), "{messages}");
    let (code, messages) = fixture.lock("{suites: [trixie-backports]}");
    let expected = "error: `trixie-backports` is no part of bookworm, which the runtime is from\nhint: name a suite such as \
                    `bookworm-backports`, or choose the `runtime.version` that the other release has";
    assert!(code == 3 && messages.contains(expected), "{messages}");
}

#[test]
fn packages_that_exclude_each_other_are_refused_whatever_each_is_there_for() {
    let mut fixture = Fixture::new();
    fixture.add("bookworm", "own-netbase", "1", "Conflicts: netbase\n", &deb("own-netbase", &[("./etc/x", "x")]));
    let (code, messages) = fixture.lock("{packages: [own-netbase]}");
    let expected = "error: the packages of the image do not go together: `own-netbase` has `Conflicts: netbase`, and \
                    `netbase` is there\nhint: `mlpack why` says what each is there for";
    assert!(code == 4 && messages.contains(expected), "{messages}");
}

#[test]
fn files_that_differ_between_packages_are_told_of() {
    let mut fixture = Fixture::new();
    let package = deb("other", &[("./usr/share/tzdata/data", "other"), ("./usr/share/netbase/data", "netbase")]);
    fixture.add("bookworm", "other", "1", "", &package);
    assert_eq!(fixture.lock("{packages: [other]}").0, 0);
    let (code, _, messages) = fixture.run("project", "home", &["lock", "--update"]);
    let expected =
        "warning: deb:other and deb:tzdata differ in `usr/share/tzdata/data`: the image has those of one of them";
    assert!(code == 0 && messages.contains(expected) && !messages.contains("deb:netbase"), "{messages}");
}

#[test]
fn essential_packages_come_where_scripts_use_them() {
    let mut fixture = Fixture::new();
    for name in ["dash", "sed"] {
        let package = deb(name, &[(&format!("./usr/bin/{name}"), name)]);
        fixture.add("bookworm", name, "1", "Essential: yes\n", &package);
    }
    let names = |lock: &str| ["dash", "sed"].map(|name| lock.contains(&format!("name = \"{name}\"")));
    assert_eq!(names(&fixture.lock("{}").1), [false, false]);
    assert_eq!(names(&fixture.lock("{essential: full}").1), [true, true]);
    fixture.write("project/code/run", b"#!/bin/sh\nexec true\n");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(fixture.path("project/code/run"), open).unwrap();
    assert_eq!(names(&fixture.lock("{essential: none}").1), [false, false]);
    for mode in ["elf", "depends"] {
        assert_eq!(names(&fixture.lock(&format!("{{libraries: {mode}}}")).1), [true, false], "{mode}");
    }
    let (_, why, messages) = fixture.run("project", "home", &["why", "dash"]);
    assert!(why.contains("the project has service\n  → depends on dash 1"), "{why}{messages}");
}

#[test]
fn a_script_that_is_not_emulated_is_told_of_or_denied() {
    let mut fixture = Fixture::new();
    let script = "#!/bin/sh\nset -e\ninstall-firmware /lib/x\n";
    let package = deb_with("firm", "1", &[("./postinst", script)], &[("./usr/share/firm/data", "x")]);
    fixture.add("bookworm", "firm", "1", "", &package);
    let lines = "the postinst of `firm` has a line that mlpack does not emulate:\n     3: install-firmware /lib/x";
    assert_eq!(fixture.lock("{packages: [firm]}").0, 0);
    let (code, _, messages) = fixture.run("project", "home", &["build"]);
    assert!(code == 0 && messages.contains(&format!("warning: {lines}")), "{messages}");
    let (code, messages) = fixture.lock("{packages: [firm], scripts: deny}");
    assert_eq!(code, 4, "{messages}");
    assert!(messages.contains(&format!("error: {lines}\nhint: leave out `firm`, or what depends on it")), "{messages}");
}

#[test]
fn the_layers_of_an_image_say_what_they_hold_and_for_what() {
    let fixture = Fixture::new();
    fixture.build("home", &[]);
    let (code, json, messages) = fixture.run("project", "home", &["--json", "inspect", "--layers", "demo:1.0.0"]);
    assert_eq!(code, 0, "{messages}");
    let result: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    let layers = result["result"]["images"][0]["layers"].as_array().unwrap();
    let packages = layers.iter().filter_map(|layer| layer["packages"].as_array()).flatten();
    let mut named: Vec<_> = packages
        .map(|package| format!("{} {}", package["name"].as_str().unwrap(), package["reason"]["asked_by"]))
        .collect();
    named.sort();
    let runtime = |name: &&str| name.contains("python");
    let reason = |name: &str| if runtime(&name) { "runtime" } else { "base" };
    let mut expected = PACKAGES.map(|name| format!("{name} \"{}\"", reason(name)));
    expected.sort();
    assert_eq!(named, expected);
    let (_, table, _) = fixture.run("project", "home", &["inspect", "--layers", "demo:1.0.0"]);
    assert!(table.starts_with("LAYER") && table.contains("\n  7 other packages "), "{table}");
}

#[test]
fn a_server_for_another_processor_lies_beside_mlpack() {
    let fixture = Fixture::new();
    let mlpack = fixture.path("bin/mlpack");
    fixture.write("bin/mlpack-server", &static_program(AMD64));
    std::fs::copy(env!("CARGO_BIN_EXE_mlpack"), &mlpack).unwrap();
    let lock = || {
        let given = fixture.command("project", "home", &["lock", "--platform", "linux/arm64"]);
        let mut command = Command::new(&mlpack);
        command.current_dir(given.get_current_dir().unwrap()).args(given.get_args());
        command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("MLPACK_SERVER");
        outcome(&mut command)
    };
    let (code, _, messages) = lock();
    assert_eq!(code, 1, "{messages}");
    assert!(messages.contains("error: there is no mlpack-server for linux/arm64 at `"), "{messages}");
    assert!(messages.contains("bin/mlpack-server-aarch64`\nhint: build it with `sh runtimes/build-server.sh aarch64`"));
    fixture.write("bin/mlpack-server-aarch64", &static_program(AMD64));
    assert!(lock().2.contains("mlpack-server-aarch64` is not a static program for linux/arm64\nhint: build it"));
    fixture.write("bin/mlpack-server-aarch64", &static_program(ARM64));
    // The demo archive has packages for amd64 alone.
    let (code, _, messages) = lock();
    assert!(code != 0 && !messages.contains("mlpack-server"), "{messages}");
}
