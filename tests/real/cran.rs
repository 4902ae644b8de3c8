//! R packages compiled from CRAN's sources, end to end: with what they need found by mlpack, and the same bytes everywhere.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use mlpack::lock::{Lock, PackageKind, PlatformLock};
use mlpack::platform::Platform;

use crate::program::{ARM64, static_program};
use crate::support::engine::Engine;
use crate::support::project::{Project, compiled_r};
use crate::support::scratch::Scratch;
use crate::support::{Output, configure, mlpack, run, succeed};

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
    let podman = Engine::podman();
    let image = podman.load(&compiled_r().archive(&folder));
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
fn binaries_of_a_repository_are_taken_where_they_fit() {
    let project = compiled_r().copy();
    let plain = |text: String| text;
    publish_binary(&project.path("binaries"), "1.3.3", plain);
    project.edit("manifest.yaml", r#""cran::curl", "cran::later", "cran::xml2""#, r#""binaries::xml2""#);
    project.edit("manifest.yaml", "{cran: repository}", "{binaries: binaries}");
    let (locked, lock) = lock_again(&project, &[]);
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    let lock = lock.unwrap();
    let xml2 = lock.packages.iter().find(|package| package.name == "xml2").unwrap();
    assert_eq!((xml2.kind, xml2.release.as_deref()), (PackageKind::R, Some("binaries")));
    assert!(lock.compilation.is_none() && lock.packages.iter().any(|package| package.name == "libxml2"));
    let (folder, podman) = (Scratch::new(), Engine::podman());
    let output = format!("docker-archive:{}", folder.join("image.tar").display());
    let options = ["--compression", "gzip", "--output", &output];
    succeed(project.command(compiled_r().home(), "build").args(options));
    let image = podman.load(&folder.join("image.tar"));
    let code = r#"cat(find.package("xml2"), xml2::xml_text(xml2::read_xml("<a>b</a>")))"#;
    let said = podman.output(&image, &["--tmpfs=/tmp"], &["/usr/bin/Rscript", "-e", code]);
    assert_eq!(said, "/usr/local/lib/R/site-library/xml2 b");

    let refuses = |options: &[&str], reason: &str| {
        let said = format!("`src/contrib/xml2_1.3.3.tar.gz` of the repository `binaries`: {reason}");
        lock_again(&project, options).0.expect_error(4, &[&said]);
    };
    let server = project.path("server");
    fs::write(&server, static_program(ARM64)).unwrap();
    let options = ["--platform", "linux/arm64", "--server", server.to_str().unwrap()];
    refuses(&options, "it was built for x86_64-pc-linux-gnu");
    project.edit("manifest.yaml", "version: \"4.2\"", "version: \"4.5\"");
    refuses(&[], "it was built for R 4.2");
}

#[test]
fn a_source_takes_the_place_of_a_newer_binary_that_does_not_fit() {
    let project = compiled_r().copy();
    let older = |text: String| text.replace("Version: 1.3.3", "Version: 1.3.4").replace("Built: R 4.2", "Built: R 4.1");
    publish_binary(&project.path("repository"), "1.3.4", older);
    project.edit("manifest.yaml", r#""cran::curl", "cran::later", "cran::xml2""#, r#""cran::xml2""#);
    let (locked, lock) = lock_again(&project, &[]);
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    let compiled: Vec<_> = lock.unwrap().compilation.unwrap().results.into_iter().collect();
    let expected = compiled_r().lock().compilation.unwrap().results["xml2"];
    assert_eq!(compiled, [("xml2".to_owned(), expected)]);
}

/// Locks a project anew, and returns what was chosen for this machine where there is a lock.
fn lock_again(project: &Project, options: &[&str]) -> (Output, Option<PlatformLock>) {
    let path = project.path("mlpack.lock");
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    let output = run(project.command(compiled_r().home(), "lock").args(options));
    let lock = Lock::read(&path).unwrap();
    (output, lock.map(|lock| lock.platform(Platform::host().unwrap(), &path).unwrap().clone()))
}

/// Puts xml2 as R has installed it into a repository, which is what `R CMD INSTALL --build` gives, with its DESCRIPTION changed.
fn publish_binary(repository: &Path, version: &str, change: impl Fn(String) -> String) {
    let contrib = repository.join("src/contrib");
    fs::create_dir_all(&contrib).unwrap();
    let file = fs::File::create(contrib.join(format!("xml2_{version}.tar.gz"))).unwrap();
    let mut binary = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let (store, image) = compiled_r().image();
    for layer in image.layers() {
        let blob = store.blobs().get(&layer.digest).unwrap().unwrap();
        let mut archive = tar::Archive::new(layer.compression.unpack(blob.open().unwrap()).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            let Ok(below) = path.strip_prefix("usr/local/lib/R/site-library") else { continue };
            if !below.starts_with("xml2") || !entry.header().entry_type().is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if below.ends_with("DESCRIPTION") {
                bytes = change(String::from_utf8(bytes).unwrap()).into_bytes();
            }
            let mut header = entry.header().clone();
            header.set_size(bytes.len() as u64);
            binary.append_data(&mut header, below, &bytes[..]).unwrap();
        }
    }
    binary.into_inner().unwrap().finish().unwrap();
    list_packages(&contrib);
}

/// Writes a repository's list of packages, from the names of their files.
fn list_packages(contrib: &Path) {
    let names = fs::read_dir(contrib).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stanza = |name: String| {
        let (package, version) = name.strip_suffix(".tar.gz")?.split_once('_')?;
        Some(format!("Package: {package}\nVersion: {version}\n"))
    };
    fs::write(contrib.join("PACKAGES"), names.filter_map(stanza).collect::<Vec<_>>().join("\n")).unwrap();
    // The list that is looked for first would be the one of before.
    let _ = fs::remove_file(contrib.join("PACKAGES.gz"));
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
