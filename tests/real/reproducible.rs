//! The same lock gives the same digest, whatever the machine looks like.

use std::process::Command;

use mlpack::lock::{ImageLock, Lock};
use mlpack::platform::Platform;

use crate::support::project::{Project, example};
use crate::support::scratch::{Scratch, copy};
use crate::support::{configure, run, succeed};

/// Builds the example with `runner` in front of mlpack, in a new home that has the downloads alone.
fn build_with(runner: &[&str], project: &Project, home: &Scratch, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(runner[0]);
    command.args(&runner[1..]).arg(env!("CARGO_BIN_EXE_mlpack"));
    configure(&mut command, home);
    command.envs(variables.iter().copied()).arg("build").arg(project.path("manifest.yaml"));
    succeed(command.args(["--locked", "--offline"])).digest()
}

#[test]
fn umask_time_zone_locale_folder_and_four_threads_do_not_matter() {
    let variables = [("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("RAYON_NUM_THREADS", "4")];
    let runner = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    assert_eq!(build_with(&runner, &example().copy(), &example().fresh_home(), &variables), example().digest);
}

#[test]
fn another_date_and_one_processor_do_not_matter() {
    let variables = [("RAYON_NUM_THREADS", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("LANG", "C")];
    let runner = ["taskset", "--cpu-list", "0", "faketime", "2031-02-03 04:05:06"];
    assert_eq!(build_with(&runner, &example().copy(), &example().fresh_home(), &variables), example().digest);
}

#[test]
fn the_user_does_not_matter() {
    let place = Scratch::open_to_all();
    let (home, project) = (place.join("home"), place.join("project"));
    copy(&example().fresh_home(), &home);
    copy(example().copy().folder(), &project);
    for (file, from) in [("mlpack", env!("CARGO_BIN_EXE_mlpack")), ("server", crate::support::project::server())] {
        std::fs::copy(from, place.join(file)).unwrap();
    }
    succeed(Command::new("chown").args(["-R", "65534:65534"]).arg(&*place));
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(place.join("mlpack"));
    configure(&mut command, &home);
    command.env("MLPACK_SERVER", place.join("server")).env("HOME", &*place).env("RAYON_NUM_THREADS", "2");
    command.arg("build").arg(project.join("manifest.yaml")).args(["--locked", "--offline"]);
    assert_eq!(succeed(&mut command).digest(), example().digest);
}

#[test]
fn the_lock_has_the_digest_and_a_change_is_refused_with_the_layers_name() {
    let project = example().copy();
    assert_eq!(image_lock(&project).digest.to_string(), example().digest);
    let built = project.build_locked(example().home());
    assert_eq!((built.code, built.stdout.trim()), (0, &*example().reference));
    project.edit("service.py", "import joblib", "import joblib  # changed");
    let lock = project.read("mlpack.lock");
    let refused = project.build_locked(example().home());
    refused.expect_error(8, &["layers that differ: `service`", &example().digest, "hint: "]);
    assert_eq!(refused.stdout, "");
    assert_eq!(project.read("mlpack.lock"), lock, "a refused build leaves the lock alone");
    succeed(project.command(example().home(), "build").arg("--offline"));
    assert_eq!(project.build_locked(example().home()).code, 0);
}

#[test]
fn the_epoch_touches_the_service_layer_and_the_configuration_only() {
    let build = |epoch: &str| {
        let project = example().copy();
        let mut command = project.command(example().home(), "build");
        succeed(command.arg("--offline").env("SOURCE_DATE_EPOCH", epoch));
        image_lock(&project)
    };
    let (before, after) = (image_lock(&example().copy()), build("1700000000"));
    assert_eq!(build("1700000000"), after);
    assert_ne!(build("1700000001").digest, after.digest);
    assert_eq!(before.layers.len(), after.layers.len());
    let pairs = before.layers.iter().zip(&after.layers).filter(|(one, other)| one != other);
    assert_eq!(pairs.map(|(one, _)| &*one.name).collect::<Vec<_>>(), ["service"]);
    let refused = run(example()
        .copy()
        .command(example().home(), "build")
        .args(["--locked", "--offline"])
        .env("SOURCE_DATE_EPOCH", "yesterday"));
    refused.expect_error(2, &["SOURCE_DATE_EPOCH is `yesterday`"]);
}

fn image_lock(project: &Project) -> ImageLock {
    let path = project.path("mlpack.lock");
    let lock = Lock::read(&path).unwrap().unwrap();
    lock.platform(Platform::host().unwrap(), &path).unwrap().image.clone().expect("it was built")
}
