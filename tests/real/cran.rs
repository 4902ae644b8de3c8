//! R packages compiled from CRAN's sources, end to end: with what they need found by mlpack, and the same bytes everywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use mlpack::lock::PackageKind;

use crate::support::engine::Engine;
use crate::support::project::compiled_r;
use crate::support::scratch::Scratch;
use crate::support::{configure, mlpack, run, succeed};

/// A package whose C code includes a header of the GNU Scientific Library, and says so nowhere.
const NEEDY: [(&str, &str); 4] = [
    ("needy/DESCRIPTION", "Package: needy\nVersion: 1.0\nTitle: N\nLicense: CC0\nNeedsCompilation: yes\n"),
    ("needy/NAMESPACE", "useDynLib(needy)\n"),
    ("needy/src/Makevars", "PKG_LIBS = -lgsl\n"),
    ("needy/src/needy.c", "#include <gsl/gsl_version.h>\nconst char *version(void) { return gsl_version; }\n"),
];

#[test]
fn sources_are_compiled_with_what_debian_compiles_them_with_and_none_of_it_is_shipped() {
    let lock = compiled_r().lock();
    let compilation = lock.compilation.as_ref().expect("there are sources");
    let names: Vec<_> = compilation.results.keys().map(String::as_str).collect();
    assert_eq!(names, ["curl", "later", "xml2"]);
    let reasons = |name: &str| {
        let found = compilation.packages.iter().find(|package| package.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among the compilers")).reasons.clone()
    };
    assert_eq!(reasons("gcc"), ["toolchain"]);
    assert_eq!(reasons("libxml2-dev"), ["xml2"]);
    assert_eq!(reasons("libcurl4-openssl-dev"), ["curl"]);
    let image: Vec<_> = lock.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(image.contains(&"libxml2") && image.contains(&"libcurl4"), "{image:?}");
    assert!(!image.iter().any(|name| name.ends_with("-dev") || name.starts_with("gcc-12")), "{image:?}");
    let r = lock.packages_of(PackageKind::R).find(|package| package.name == "xml2").unwrap();
    assert_eq!((r.release.as_deref(), &*r.path), (Some("cran"), "src/contrib/xml2_1.3.3.tar.gz"));
}

#[test]
fn what_was_compiled_loads_in_a_container() {
    let folder = Scratch::new();
    let file = folder.join("image.tar");
    let output = format!("docker-archive:{}", file.display());
    let options = ["--offline", "--compression", "gzip", "--output", &output];
    succeed(compiled_r().copy().command(compiled_r().home(), "build").args(options));
    let podman = Engine::podman();
    let image = podman.load(&file);
    let code = r#"
        stopifnot(xml2::xml_text(xml2::read_xml("<a>b</a>")) == "b", nzchar(curl::curl_version()$version))
        later::later(function() cat("later "), 0); later::run_now()
        headers <- c(list.files("/usr/include"), Sys.glob(file.path(.libPaths(), "*", "include")))
        cat(length(headers), sum(nzchar(Sys.which(c("cc", "g++", "ld", "make")))))"#;
    assert_eq!(podman.output(&image, &["--tmpfs=/tmp"], &["/usr/bin/Rscript", "-e", code]), "later 0 0");
}

#[test]
fn compiling_again_elsewhere_gives_the_same_image() {
    let (project, home) = (compiled_r().copy(), compiled_r().fresh_home());
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec taskset --cpu-list 0 \"$@\"", "sh", env!("CARGO_BIN_EXE_mlpack")]);
    configure(&mut command, &home);
    command.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "tr_TR.UTF-8");
    command.arg("build").arg(project.path("manifest.yaml")).args(["--locked", "--offline"]);
    assert_eq!(succeed(&mut command).digest(), compiled_r().digest);
    // It was compiled, not copied.
    assert!(home.join("cache/logs/xml2_1.3.3.log").is_file());
}

#[test]
fn a_missing_header_is_told_with_the_package_that_has_it() {
    let project = Scratch::new();
    write_needy(&project);
    let manifest = |build: &str| {
        let text = format!(
            "apiVersion: mlpack/v1\nname: needy\nversion: 1.0.0\nruntime:\n  language: r\n  version: \"4.2\"\n  \
             packages: [needy]\n  repositories: {{ours: repository}}\n{build}service: service.R\n\
             endpoints:\n  call: {{input: {{type: text}}, output: {{type: text}}}}\n"
        );
        fs::write(project.join("manifest.yaml"), text).unwrap();
    };
    fs::write(project.join("service.R"), "load <- function(bundle) NULL\ncall <- function(state, value) value\n")
        .unwrap();
    let lock = || run(mlpack(compiled_r().home()).arg("lock").arg(project.join("manifest.yaml")));
    manifest("");
    let failed = lock();
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    for expected in [
        "the R package needy 1.0 does not compile:",
        "fatal error: gsl/gsl_version.h: No such file or directory",
        "cache/logs/needy_1.0.log",
        "the header `gsl/gsl_version.h` is in `libgsl-dev`: add it to `system.build` of `manifest.yaml`",
    ] {
        assert!(failed.stderr.contains(expected), "{}", failed.stderr);
    }
    manifest("system: {build: [libgsl-dev]}\n");
    let locked = lock();
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    let text = fs::read_to_string(project.join("mlpack.lock")).unwrap();
    assert!(text.contains("soname = \"libgsl.so.27\""), "the library is there at run time");
}

/// Writes the repository of [`NEEDY`].
fn write_needy(project: &Path) {
    for (path, text) in NEEDY {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let contrib = project.join("repository/src/contrib");
    fs::create_dir_all(&contrib).unwrap();
    fs::write(contrib.join("PACKAGES"), "Package: needy\nVersion: 1.0\n").unwrap();
    let archive = contrib.join("needy_1.0.tar.gz");
    succeed(Command::new("tar").arg("czf").arg(archive).arg("-C").arg(project).arg("needy"));
}
