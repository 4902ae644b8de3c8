//! What goes wrong is said clearly, and the next build succeeds with the same digest.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::support::faults::{Listener, mirror};
use crate::support::project::{Project, check_blobs, example, tiny};
use crate::support::scratch::Scratch;
use crate::support::{Output, run, succeed};

/// A mistake in the manifest: what is replaced, by what, and what the message has.
const MISTAKES: [(&str, &str, &str); 10] = [
    ("version: 1.0.0", "verson: 1.0.0", "did you mean `version`?"),
    ("name: tiny", "name: Tiny Model", "`Tiny Model`"),
    ("apiVersion: mlpack/v1", "apiVersion: mlpack/v9", "`mlpack/v9`"),
    ("language: python", "language: cobol", "`cobol`"),
    ("service.py:Service", "servce.py:Service", "servce.py"),
    ("service.py:Service", "../service.py:Service", "../service.py"),
    ("factor: factor.txt", "factor: /etc/passwd", "/etc/passwd"),
    ("version: 1.0.0", "version: 1.0.0\nversion: 1.0.0", "`version`"),
    ("{type: json}", "{type: jsn}", "`jsn`"),
    ("workers: 1, timeout: 2s", "workers: 1, timeout: soon", "`soon`"),
];

#[test]
fn ten_bad_manifests_are_refused_with_their_place() {
    for (from, to, part) in MISTAKES {
        let project = tiny().copy();
        project.edit("manifest.yaml", from, to);
        let output = run(&mut project.command(tiny().home(), "build"));
        output.expect_error(3, &[part, "manifest.yaml:"]);
        assert_eq!(output.stdout, "");
    }
}

/// Builds what the lock says, with Debian's packages from a mirror on this machine.
fn build_from(mirror: &Listener, project: &Project, home: &Path) -> Output {
    let url = format!("http://{}/debian", mirror.address);
    let mut command = project.command(home, "build");
    command.args(["--locked", "--debian-mirror", &url, "--debian-security-mirror", &url]);
    run(&mut command)
}

#[track_caller]
fn assert_builds(output: &Output) {
    assert_eq!((output.code, output.stdout.trim()), (0, &*tiny().reference), "{}", output.stderr);
}

#[test]
fn a_truncated_deb_is_refused_and_the_next_build_fetches_it_again() {
    let (project, home) = (tiny().copy(), tiny().fresh_home());
    let package = tiny().lock().packages.into_iter().find(|package| package.name == "tzdata").unwrap();
    let blob = home.join("cache/blobs/sha256").join(package.sha256.hex());
    fs::remove_file(&blob).unwrap();
    let output = build_from(&mirror(tiny(), Some(&package.path)), &project, &home);
    output.expect_error(5, &["tzdata_", &package.sha256.hex(), "hint: "]);
    assert!(!blob.exists(), "nothing of it is kept");
    assert_builds(&build_from(&mirror(tiny(), None), &project, &home));
}

#[test]
fn a_wheel_that_is_not_the_locks_is_refused() {
    let project = example().copy();
    let wheel = example().lock().packages.into_iter().find(|package| package.name == "joblib").unwrap();
    let wrong = "0".repeat(64);
    project.edit("mlpack.lock", &wheel.sha256.hex(), &wrong);
    let output = run(project.command(example().home(), "build").arg("--locked"));
    output.expect_error(5, &["joblib", &wrong]);
    project.edit("mlpack.lock", &wrong, &wheel.sha256.hex());
    assert_eq!(project.build_locked(example().home()).digest(), example().digest);
}

#[test]
fn a_damaged_download_is_fetched_again() {
    let (project, home) = (tiny().copy(), tiny().fresh_home());
    let package = tiny().lock().packages.into_iter().find(|package| package.name == "tzdata").unwrap();
    damage(&home.join("cache/blobs/sha256").join(package.sha256.hex()));
    let offline = project.build_locked(&home);
    offline.expect_error(6, &["tzdata_", "`--offline`"]);
    assert_builds(&build_from(&mirror(tiny(), None), &project, &home));
}

#[test]
fn damaged_packs_and_layers_are_made_again() {
    let (project, home) = (tiny().copy(), tiny().fresh_home());
    assert_builds(&project.build_locked(&home));
    let downloads: Vec<_> = tiny().lock().packages.iter().map(|package| package.sha256.hex()).collect();
    let names = names_in(&home.join("cache/blobs/sha256"));
    let packs: Vec<_> = names.iter().filter(|name| !downloads.contains(name)).collect();
    for pack in packs.iter().step_by(packs.len() / 3) {
        damage(&home.join("cache/blobs/sha256").join(pack));
        fs::remove_dir_all(home.join("images")).unwrap();
        heals(&project, &home);
    }
    for pack in &packs {
        damage(&home.join("cache/blobs/sha256").join(pack));
    }
    for layer in names_in(&home.join("images/blobs/sha256")) {
        damage(&home.join("images/blobs/sha256").join(layer));
    }
    heals(&project, &home);
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The build gives a whole image: at once, or after clear errors, each of which mends something.
fn heals(project: &Project, home: &Path) {
    let target = Scratch::new();
    // What is handed out is read and checked in full.
    let sink = format!("oci-archive:{}", target.join("image.tar").display());
    let build = || run(project.command(home, "build").args(["--locked", "--offline", "--output", &sink]));
    let mut output = build();
    for _ in names_in(&home.join("cache/blobs/sha256")) {
        if output.code == 0 {
            break;
        }
        output.expect_error(5, &["hint: ", " again"]);
        output = build();
    }
    assert_builds(&output);
}

/// Changes the last byte of a file, without touching other links to it.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap_or(&mut 0) ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_full_disk_is_told_at_every_step_and_more_space_mends_it() {
    let (project, folder) = (tiny().copy(), Scratch::new());
    let home = folder.join("small");
    fs::create_dir(&home).unwrap();
    let mount = |options: String| succeed(Command::new("mount").args(["-o", &options, "mlpack-test"]).arg(&home));
    succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "mlpack-test"]).arg(&home));
    let mirror = mirror(tiny(), None);
    // A little more each time: it is full while fetching, unpacking, compiling, and writing layers.
    for megabytes in (20..).step_by(12) {
        let output = build_from(&mirror, &project, &home);
        if output.code == 0 {
            assert_builds(&output);
            break;
        }
        output.expect_error(1, &["the disk is full", "MLPACK_HOME"]);
        check_blobs(&home);
        mount(format!("remount,size={megabytes}m"));
    }
    check_blobs(&home);
}

#[test]
fn killed_builds_leave_nothing_wrong_behind() {
    let (project, home) = (tiny().copy(), tiny().fresh_home());
    let begin = Instant::now();
    assert_builds(&project.build_locked(&home));
    let whole = begin.elapsed();
    for tenth in 0..10 {
        for folder in ["cache/derived", "images"] {
            let folder = home.join(folder);
            assert!(!folder.exists() || fs::remove_dir_all(folder).is_ok());
        }
        let mut build = start(&project, &home);
        thread::sleep(whole * tenth / 10);
        build.kill().unwrap();
        build.wait().unwrap();
        check_blobs(&home);
    }
    assert_builds(&project.build_locked(&home));
    check_blobs(&home);
}

#[test]
fn two_builds_at_once_agree() {
    let home = tiny().fresh_home();
    let projects = [tiny().copy(), tiny().copy()];
    let builds = projects.each_ref().map(|project| start(project, &home));
    for build in builds {
        let output = build.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), tiny().reference, "{}", String::from_utf8_lossy(&output.stderr));
    }
    check_blobs(&home);
}

fn start(project: &Project, home: &Path) -> Child {
    let mut command = project.command(home, "build");
    command.args(["--locked", "--offline"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
