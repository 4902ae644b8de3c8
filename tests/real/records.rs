//! What tools that know nothing of mlpack read of the packages in an image: dpkg, pip, CycloneDX and R list the lock.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use mlpack::lock::{PackageKind, PlatformLock};

use crate::support::project::{Prepared, example, example_r};
use crate::support::python::environment;
use crate::support::scratch::Scratch;
use crate::support::{succeed, tree};

/// `name version` of each.
type Packages = BTreeSet<String>;

fn lay_out(project: &Prepared) -> Scratch {
    let (store, image) = project.image();
    tree::lay_out(project.home(), &store, &image)
}

fn locked(lock: &PlatformLock, kind: PackageKind) -> Packages {
    lock.packages_of(kind).map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// Returns what dpkg lists, given the image's records as the one file that it reads.
fn dpkg(root: &Path) -> Packages {
    let database = Scratch::new();
    let records = fs::read_dir(root.join("var/lib/dpkg/status.d")).unwrap().map(|entry| entry.unwrap().path());
    let mut records: Vec<_> = records.filter(|path| !path.to_string_lossy().ends_with(".md5sums")).collect();
    records.sort();
    let texts: Vec<_> = records.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    fs::write(database.join("status"), texts.join("\n")).unwrap();
    fs::create_dir(database.join("info")).unwrap();
    let mut query = Command::new("dpkg-query");
    query.arg("--admindir").arg(&*database).args(["--show", "--showformat", "${Package} ${Version} ${Status}\n"]);
    let output = succeed(&mut query);
    assert_eq!(output.stderr, "");
    let package =
        |line: &str| line.strip_suffix(" install ok installed").unwrap_or_else(|| panic!("{line}")).to_owned();
    output.stdout.lines().map(package).collect()
}

/// Returns `name version` of a list of objects that have both, with names as the index normalises them.
fn packages(list: &Value) -> Packages {
    let text = |object: &Value, key: &str| object[key].as_str().unwrap().to_owned();
    let name = |object: &Value| mlpack::ecosystem::pypi::name::normalise(&text(object, "name"));
    list.as_array().unwrap().iter().map(|object| format!("{} {}", name(object), text(object, "version"))).collect()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command).stdout).unwrap()
}

#[test]
fn dpkg_pip_and_cyclonedx_list_exactly_the_lock() {
    let (project, root) = (example(), lay_out(example()));
    let lock = project.lock();
    assert_eq!(dpkg(&root), locked(&lock, PackageKind::Deb));

    let wheels = locked(&lock, PackageKind::Wheel);
    let site = root.join("usr/local/lib/python3.11/dist-packages");
    let programs = environment("records", &["cyclonedx-bom==7.5.0", "pip>=24"]);
    let pip = |arguments: &[&str]| {
        let mut pip = Command::new(programs.join("pip"));
        pip.arg("--disable-pip-version-check").args(arguments).arg("--path").arg(&site);
        json(&mut pip)
    };
    assert_eq!(packages(&pip(&["list", "--format=json"])), wheels);
    let inspected = pip(&["inspect"]);
    let metadata = inspected["installed"].as_array().unwrap().iter().map(|package| package["metadata"].clone());
    assert_eq!(packages(&metadata.collect()), wheels);

    // The tool asks a Python where its packages are: this one looks where the image's does, and nowhere else.
    let python = root.with_extension("python");
    fs::write(&python, format!("#!/bin/sh\nPYTHONPATH='{}' exec python3 -S \"$@\"\n", site.display())).unwrap();
    mlpack::fs::set_mode(&python, 0o755).unwrap();
    let document = json(Command::new(programs.join("cyclonedx-py")).arg("environment").arg(&python));
    fs::remove_file(&python).unwrap();
    assert_eq!(packages(&document["components"]), wheels);
}

#[test]
fn r_lists_the_packages_that_the_lock_has_of_debian() {
    const PROGRAM: &str = "found <- installed.packages(noCache = TRUE); \
        cat(paste(found[, 'Package'], found[, 'Version'], found[, 'Priority'], sep = ' '), sep = '\n')";
    let (project, root) = (example_r(), lay_out(example_r()));
    let lock = project.lock();
    assert_eq!(dpkg(&root), locked(&lock, PackageKind::Deb));
    let environment = [("R_HOME", "/usr/lib/R"), ("LD_LIBRARY_PATH", "/usr/lib/R/lib")];
    let mut r = tree::command(&root, None, &environment, "/usr/lib/R/bin/exec/R");
    let listed = succeed(r.args(["--no-echo", "--vanilla", "-e", PROGRAM])).stdout;
    // R's own packages, of priority `base`, are all in r-base-core.
    let (own, others): (Vec<_>, Vec<_>) = listed.lines().partition(|line| line.ends_with(" base"));
    assert!(own.iter().any(|line| line.starts_with("stats ")), "{listed}");
    let name = |line: &str| line.split(' ').next().unwrap().to_lowercase();
    let others: BTreeSet<_> = others.into_iter().map(name).collect();
    let debian = lock.packages_of(PackageKind::Deb).filter_map(|package| package.name.strip_prefix("r-cran-"));
    assert_eq!(others, debian.map(str::to_owned).collect::<BTreeSet<_>>());
}
