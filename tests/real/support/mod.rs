//! What the end-to-end tests share: mlpack itself, its projects and homes, servers that end with the test.
//!
//! The first test that asks for a project locks and builds it over the network; all others share its lock and downloads.

pub mod engine;
pub mod faults;
pub mod http;
pub mod process;
pub mod project;
pub mod python;
pub mod registry;
pub mod scratch;
pub mod served;
pub mod tree;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// The Debian package of each program that the tests call.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/python3", "python3-jsonschema"),
    ("apt-get", "apt"),
    ("bwrap", "bubblewrap"),
    ("chromedriver", "chromium chromium-driver"),
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("dpkg-deb", "dpkg"),
    ("dpkg-query", "dpkg"),
    ("faketime", "faketime"),
    ("htpasswd", "apache2-utils"),
    ("mount", "mount"),
    ("podman", "podman runc"),
    ("setpriv", "util-linux"),
    ("skopeo", "skopeo"),
    ("taskset", "util-linux"),
    ("umoci", "umoci"),
];

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Returns the digest in the last line of standard output, `name@sha256:…`.
    pub fn digest(&self) -> String {
        let line = self.stdout.lines().last().unwrap_or_default();
        let (_, digest) = line.rsplit_once('@').unwrap_or_else(|| panic!("no digest reference: {self:?}"));
        digest.to_owned()
    }

    /// Fails unless the exit code and a part of standard error are these.
    #[track_caller]
    pub fn expect_error(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        }
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{}", advice(command.get_program(), &error)));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a program that must succeed.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert_eq!(output.code, 0, "{command:?}\n{}{}", output.stdout, output.stderr);
    output
}

/// Runs a program that must succeed, and returns what it printed.
#[track_caller]
pub fn text<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    succeed(Command::new(program).args(arguments)).stdout
}

/// Says how to get a program that could not be started.
pub fn advice(program: &OsStr, error: &std::io::Error) -> String {
    let name = program.to_string_lossy();
    let package = PACKAGES.iter().find(|(listed, _)| *listed == name).map_or(&*name, |(_, package)| package);
    format!("cannot run `{name}` ({error}): apt-get install {package}")
}

/// Returns mlpack with its home and server set, and nothing else of this environment that could reach a build.
pub fn mlpack(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlpack"));
    configure(&mut command, home);
    command
}

/// Sets the environment that [`mlpack`] has, for a command that runs it in the end.
pub fn configure(command: &mut Command, home: &Path) {
    for name in ["SOURCE_DATE_EPOCH", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "NO_COLOR", "RAYON_NUM_THREADS"] {
        command.env_remove(name);
    }
    command.env("MLPACK_HOME", home).env("MLPACK_SERVER", project::server());
}
