//! Pushing to Debian's `docker-registry`: credentials from everywhere, blobs moved once, broken connections mended.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mlpack::fetch::Home;
use mlpack::image::ImageStore;
use mlpack::image::validate::validate;
use serde_json::json;

use crate::support::faults::breaking_proxy;
use crate::support::project::{example, tiny};
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::{Output, mlpack, run, succeed, text};

const USER: &str = "ona";
const PASSWORD: &str = "a pass:word, with ąčę";

/// Pushes the tiny image with an environment that knows no credentials but those in `folder`.
fn push(registry: &Registry, folder: &Path, configure: impl FnOnce(&mut Command)) -> Output {
    let mut command = mlpack(tiny().home());
    command.args(["push", &tiny().digest, &registry.name("team/tiny:1")]);
    command.env("HOME", folder).env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CONFIG_HOME");
    configure(&mut command);
    run(&mut command)
}

/// A credentials file as Docker and podman write it.
fn auths(registry: &Registry, password: &str) -> String {
    let auth = STANDARD.encode(format!("{USER}:{password}"));
    json!({"auths": {&registry.address: {"auth": auth}}}).to_string()
}

#[test]
fn credentials_come_from_docker_podman_and_helpers() {
    let registry = Registry::with_user(USER, PASSWORD);
    let pushed = |output: Output| assert_eq!(output.code, 0, "{}", output.stderr);
    let folder = Scratch::new();
    fs::write(folder.join("config.json"), auths(&registry, PASSWORD)).unwrap();
    pushed(push(&registry, &folder, |command| {
        command.env("DOCKER_CONFIG", &*folder);
    }));

    let home = Scratch::new();
    fs::create_dir_all(home.join(".config/containers")).unwrap();
    fs::write(home.join(".config/containers/auth.json"), auths(&registry, PASSWORD)).unwrap();
    pushed(push(&registry, &home, |_| ()));

    let named = Scratch::new();
    fs::write(named.join("credentials.json"), auths(&registry, PASSWORD)).unwrap();
    pushed(push(&registry, &Scratch::new(), |command| {
        command.arg("--authfile").arg(named.join("credentials.json"));
    }));

    let helped = Scratch::new();
    let answer = json!({"ServerURL": &registry.address, "Username": USER, "Secret": PASSWORD});
    let helper = helped.join("docker-credential-test");
    fs::write(&helper, format!("#!/bin/sh\ntest \"$1\" = get && cat >/dev/null && cat <<'END'\n{answer}\nEND\n"))
        .unwrap();
    mlpack::fs::set_mode(&helper, 0o755).unwrap();
    let helpers = json!({"credHelpers": {&registry.address: "test"}}).to_string();
    fs::write(helped.join("config.json"), helpers).unwrap();
    pushed(push(&registry, &helped, |command| {
        let path = format!("{}:{}", helped.display(), std::env::var("PATH").unwrap());
        command.env("DOCKER_CONFIG", &*helped).env("PATH", path);
    }));
}

#[test]
fn a_wrong_password_is_refused_with_a_hint_and_never_shown() {
    let registry = Registry::with_user(USER, PASSWORD);
    let folder = Scratch::new();
    push(&registry, &folder, |_| ()).expect_error(7, &["401", "mlpack login"]);
    fs::write(folder.join("config.json"), auths(&registry, "guessed wrong")).unwrap();
    let output = push(&registry, &folder, |command| {
        command.env("DOCKER_CONFIG", &*folder);
    });
    output.expect_error(7, &["401", &registry.address, "hint: ", "mlpack login"]);
    assert!(!output.stderr.contains("guessed") && !output.stderr.contains(&STANDARD.encode("guessed wrong")));
    assert_eq!(output.stdout, "");
}

#[test]
fn what_is_there_is_not_sent_again_and_repositories_share() {
    let registry = Registry::start();
    let (_, image) = example().image();
    let total = image.layers().len() + 1;
    let send = |name: &str| {
        let name = registry.name(name);
        let output = succeed(mlpack(example().home()).args(["push", &example().digest, &name]));
        assert_eq!(output.stdout.trim(), format!("{name}@{}", example().digest));
        output.stderr
    };
    let expect = |said: String, counts: &str| assert!(said.contains(counts), "`{counts}` is not in: {said}");
    expect(send("team/b2x:1"), &format!("{total} blobs pushed, 0 mounted, 0 already there"));
    expect(send("team/b2x:2"), &format!("0 blobs pushed, 0 mounted, {total} already there"));
    expect(send("other/b2x:1"), &format!("0 blobs pushed, {total} mounted, 0 already there"));
    assert_eq!(registry.blobs("other/b2x"), registry.blobs("team/b2x"));
    let source = format!("docker://{}", registry.name("other/b2x:1"));
    let found = text("skopeo", ["inspect", "--tls-verify=false", "--format={{.Digest}}", &source]);
    assert_eq!(found.trim(), example().digest);
}

#[test]
fn broken_connections_are_mended() {
    let registry = Registry::start();
    // Most connections break, early ones within a layer; what was sent before is not sent again.
    for (nth, bytes) in [(2, 100_000), (3, 5_000_000)] {
        let proxy = breaking_proxy(&registry.address, nth, bytes);
        let name = format!("{}/broken{nth}/b2x:1", proxy.address);
        let output = succeed(mlpack(example().home()).args(["push", "--plain-http", &example().digest, &name]));
        assert_eq!(output.stdout.trim(), format!("{name}@{}", example().digest));
        check_pull(&registry.name(&format!("broken{nth}/b2x:1")));
    }
}

#[test]
fn what_was_pushed_is_pulled_into_another_home() {
    let registry = Registry::start();
    let name = registry.name("team/b2x:1");
    succeed(mlpack(example().home()).args(["push", &example().digest, &name]));
    check_pull(&name);
}

/// Pulls the example into a new home and checks every byte of it.
fn check_pull(name: &str) {
    let home = Scratch::new();
    let pulled = succeed(mlpack(&home).args(["pull", "--plain-http", name]));
    assert_eq!(pulled.digest(), example().digest);
    let store = ImageStore::open(&Home::below(&home)).unwrap();
    validate(&store, &store.find(&example().digest).unwrap().descriptor).unwrap();
}
