//! Tests of configuring: small packages in memory, and what their scripts must have made.

use super::*;
use crate::ecosystem::debian::deb::testing::{self, Tar};
use crate::ecosystem::debian::deb::unpack;
use crate::fetch::{Home, pack};
use crate::layer::tree::Kind;

/// A store with packages made of scripts and files.
struct System {
    _folder: tempfile::TempDir,
    home: Home,
    store: BlobStore,
    packages: Vec<(lock::Package, Unpacked)>,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        Self { store: home.blobs().unwrap(), home, _folder: folder, packages: Vec::new() }
    }

    fn with(mut self, name: &str, postinst: &str, files: &[(&str, &str)]) -> Self {
        let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\n");
        let control = Tar::new().file("./control", &control).file("./postinst", postinst);
        let data = files.iter().fold(Tar::new(), |tar, (path, text)| tar.file(path, text));
        let blob = self.store.insert_bytes(&testing::deb(&control, &data)).unwrap();
        let package = testing::package(name, "1", "all", &blob);
        let platform = "linux/amd64".parse().unwrap();
        let unpacked = unpack(&self.store, &self.home.derived(), &package, &blob, platform).unwrap();
        self.packages.push((package, unpacked));
        self
    }

    fn configure(&self) -> Result<Configured, ConfigureError> {
        let settings = Settings { platform: "linux/amd64".parse().unwrap(), user: 10001, denies_scripts: false };
        configure(&self.packages, &self.store, &settings)
    }

    /// Returns what the upper tree has at a path: a link's target or a file's text.
    fn top(&self, path: &str) -> Option<String> {
        match &self.configure().unwrap().top.get(path)?.kind {
            Kind::Directory => Some("/".to_owned()),
            Kind::Symlink(target) => Some(target.clone()),
            Kind::File(content) => Some(String::from_utf8(pack::read(&self.store, content).unwrap()).unwrap()),
        }
    }
}

#[test]
fn the_base_depends_on_nothing_and_can_be_written_to_where_it_must() {
    let base = System::new().configure().unwrap().base;
    assert_eq!(base.get("tmp").unwrap().mode, 0o1777);
    assert!(matches!(&base.get("lib64").unwrap().kind, Kind::Symlink(target) if target == "usr/lib64"));
    assert!(base.iter().all(|(_, node)| node.content().is_none()));
}

#[test]
fn the_highest_priority_wins_whatever_the_order_of_packages() {
    let offer = |path: &str, priority: u32| {
        format!(
            "#!/bin/sh\nupdate-alternatives --install /lib/x.so x.so {path} {priority} --slave /usr/bin/x x /usr/bin/none\n"
        )
    };
    let low = ("blas-low", offer("/lib/low/x.so", 10), "./lib/low/x.so");
    let high = ("blas-high", offer("/lib/high/x.so", 100), "./lib/high/x.so");
    let gone = ("blas-gone", offer("/lib/gone/x.so", 900), "./lib/other/x.so");
    for order in [[&low, &high, &gone], [&gone, &high, &low]] {
        let system =
            order.iter().fold(System::new(), |system, (name, script, file)| system.with(name, script, &[(file, "x")]));
        assert_eq!(system.top("usr/lib/x.so").as_deref(), Some("/etc/alternatives/x.so"));
        assert_eq!(system.top("etc/alternatives/x.so").as_deref(), Some("/lib/high/x.so"));
        assert_eq!(system.top("etc/alternatives/x"), None);
        assert!(system.configure().unwrap().warnings.is_empty());
    }
}

#[test]
fn certificates_become_one_bundle_with_a_line_break_after_each() {
    let files = [
        ("./usr/share/ca-certificates/mozilla/B (x), y.crt", "second"),
        ("./usr/share/ca-certificates/mozilla/A.crt", "first\n"),
        ("./usr/share/ca-certificates/README", "no"),
    ];
    let system = System::new().with("ca-certificates", "#!/bin/sh\n", &files);
    assert_eq!(system.top("etc/ssl/certs/ca-certificates.crt").as_deref(), Some("first\nsecond\n"));
    let link = system.top("etc/ssl/certs/B_=x=__y.pem");
    assert_eq!(link.as_deref(), Some("/usr/share/ca-certificates/mozilla/B (x), y.crt"));
    assert_eq!(system.top("usr/lib/ssl/cert.pem").as_deref(), Some("/etc/ssl/certs/ca-certificates.crt"));
}

#[test]
fn files_of_packages_are_never_replaced() {
    let files = [("./etc/timezone", "Mars/Olympus\n"), ("./usr/share/zoneinfo/Etc/UTC", "")];
    let system = System::new().with("tzdata", "#!/bin/sh\n", &files);
    assert_eq!(system.top("etc/timezone"), None);
    assert_eq!(system.top("etc/localtime").as_deref(), Some("/usr/share/zoneinfo/Etc/UTC"));
}

#[test]
fn what_nothing_stands_for_is_reported_with_its_lines() {
    let system = System::new().with("odd", "#!/bin/sh\nset -e\nodd-tool --now\n", &[]);
    let warnings = system.configure().unwrap().warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["the postinst of `odd` has a line that mlpack does not emulate:\n     3: odd-tool --now"]
    );
}

#[test]
fn a_script_that_names_a_path_outside_is_an_error() {
    for line in [
        "update-alternatives --install /usr/../../x x /usr/bin/x 1",
        "update-alternatives --install /usr/bin/x .. /usr/bin/x 1",
    ] {
        let system = System::new().with("hostile", &format!("#!/bin/sh\n{line}\n"), &[("./usr/bin/x", "")]);
        assert!(matches!(system.configure(), Err(ConfigureError::Path { .. })), "{line}");
    }
}

#[test]
fn loaders_of_gdk_pixbuf_are_listed_and_others_told_of() {
    let folder = "./usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders";
    let files = ["libpixbufloader-xbm.so", "libpixbufloader-gif.so", "other.so"].map(|name| format!("{folder}/{name}"));
    let script = "#!/bin/sh\nset -e\n/usr/lib/gdk-pixbuf-query-loaders $(find /usr/lib)\n";
    let system = System::new().with("libgdk-pixbuf-2.0-0", script, &[(&files[1], "")]).with(
        "more-loaders",
        "#!/bin/sh\n",
        &[(&files[0], ""), (&files[2], "")],
    );
    let list = system.top("usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders.cache").unwrap();
    let (gif, xbm) = (list.find("loaders/libpixbufloader-gif.so\"\n\"gif\" 4 "), list.find("-xbm.so\"\n\"xbm\" 4 "));
    assert!(gif.is_some() && gif < xbm, "{list}");
    let warnings = system.configure().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].lines[0].0, warnings[0].lines[0].1.ends_with("/loaders/other.so")), (3, true));
    assert!(System::new().configure().unwrap().actions.iter().all(|action| !action.does.contains("loaders")));
}
