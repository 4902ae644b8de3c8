//! The Debian archive against a small signed one, whole and under attack.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use base64::Engine as _;
use mlpack::digest::Digest;
use mlpack::ecosystem::debian::Root;
use mlpack::error::{Error, Exit};
use mlpack::lock;
use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use support::debian::{DAY, Demo, Release, in_release, key, now, stanza, xz};

const DEB: &[u8] = b"the bytes of a package";
const INDEX: &str = "dists/demo/main/binary-amd64/by-hash/SHA256";

fn packages() -> String {
    [stanza("app", "Depends: libz1\n", DEB), stanza("libz1", "Source: z (2)\nProvides: libblas.so.3\n", DEB)].concat()
}

fn demo() -> Demo {
    let demo = Demo::new(&packages(), "usr/lib/x86_64-linux-gnu/libz.so.1  libs/libz1\n");
    demo.put("pool/libz1_1_amd64.deb", DEB);
    demo
}

fn roots(names: &[&str]) -> Vec<Root> {
    let root = |name: &&str| Root { relation: (*name).to_owned(), reason: "manifest".to_owned() };
    names.iter().map(root).collect()
}

#[test]
fn packages_come_from_the_signed_archive() {
    let demo = demo();
    let archive = demo.open(&[], false).unwrap();
    let names: Vec<_> = archive.releases().into_iter().map(|release| release.name).collect();
    assert_eq!(names, ["demo", "demo-updates", "demo-security"]);
    let packages = archive.resolve(&roots(&["app"])).unwrap();
    let shown: Vec<_> = packages.iter().map(|package| (package.name.as_str(), package.reasons.join(" "))).collect();
    assert_eq!(shown, [("app", "manifest".to_owned()), ("libz1", "app".to_owned())]);
    assert_eq!(packages[1].source.as_deref(), Some("z"));
    assert_eq!(archive.resolve_only(&roots(&["app"])).unwrap().len(), 1);
    assert_eq!(archive.fetch(&packages[1]).unwrap().read().unwrap(), DEB);
    let sonames = archive.sonames().unwrap().unwrap();
    assert_eq!(sonames.packages("libz.so.1"), ["libz1"]);
    assert!(sonames.packages("libnone.so.1").is_empty());
    assert_eq!(archive.providers("libblas.so.3"), ["libz1"]);
}

#[test]
fn of_backports_only_what_is_asked_for_is_taken_and_what_it_needs() {
    let demo = demo();
    let newer = stanza("libz1", "", DEB).replace("Version: 1", "Version: 2");
    let packages = [newer, stanza("tool", "Depends: app, libz1 (>= 2)\n", DEB)].concat();
    let publish = |fields| {
        let contents = "usr/lib/x86_64-linux-gnu/libnew.so.2 libs/libnew2\n";
        demo.publish(&Release { fields, packages: &packages, contents, ..Release::new("demo-backports") });
    };
    let chosen = |names: &[&str]| {
        let packages = demo.open_with(&["demo-backports"], &[], false).unwrap().resolve(&roots(names)).unwrap();
        let shown = packages.iter().map(|package| format!("{} {}", package.name, package.release.as_ref().unwrap()));
        shown.collect::<Vec<_>>()
    };
    publish("NotAutomatic: yes\nButAutomaticUpgrades: yes\n");
    assert_eq!(chosen(&["app"]), ["app demo", "libz1 demo"]);
    assert_eq!(chosen(&["libz1 (>= 2)"]), ["libz1 demo-backports"]);
    assert_eq!(chosen(&["tool"]), ["app demo", "libz1 demo-backports", "tool demo-backports"]);
    assert!(demo.open(&[], false).unwrap().resolve(&roots(&["tool"])).is_err());
    let sonames = |further: &[&str]| demo.open_with(further, &[], false).unwrap().sonames().unwrap().unwrap();
    assert_eq!(sonames(&["demo-backports"]).packages("libnew.so.2"), ["libnew2"]);
    assert!(sonames(&[]).packages("libnew.so.2").is_empty());
}

#[test]
fn a_further_suite_that_is_taken_from_by_itself_counts_by_version() {
    let demo = demo();
    let newer = stanza("libz1", "", DEB).replace("Version: 1", "Version: 2");
    demo.publish(&Release { packages: &newer, ..Release::new("demo-proposed-updates") });
    let further = ["demo-proposed-updates", "demo-updates"];
    let archive = demo.open_with(&further, &[], false).unwrap();
    assert_eq!(archive.releases().len(), 4, "each suite once");
    assert_eq!(archive.resolve(&roots(&["libz1"])).unwrap()[0].version, "2");
    for (suite, exit) in [("demos", Exit::Manifest), ("other-backports", Exit::Manifest), ("demo-none", Exit::Network)]
    {
        assert_eq!(demo.open_with(&[suite], &[], false).err().unwrap().diagnosis().exit(), exit, "{suite}");
    }
}

#[test]
fn what_was_fetched_before_serves_again_without_the_network() {
    let demo = demo();
    demo.open(&[], false).unwrap().sonames().unwrap();
    demo.server.take_requests();
    for offline in [false, true] {
        let archive = demo.open(&[], offline).unwrap();
        assert_eq!(archive.resolve(&roots(&["app"])).unwrap().len(), 2);
        assert_eq!(archive.sonames().unwrap().unwrap().packages("libz.so.1"), ["libz1"]);
    }
    assert!(demo.server.take_requests().is_empty());
}

#[test]
fn a_list_of_files_that_is_not_the_signed_one_is_not_used() {
    let demo = demo();
    demo.put("dists/demo/main/Contents-amd64.gz", b"usr/lib/x86_64-linux-gnu/libz.so.1 libs/evil");
    demo.files.lock().unwrap().retain(|path, _| !path.contains("main/by-hash/SHA256"));
    assert!(demo.open(&[], false).unwrap().sonames().unwrap().is_none());
    demo.files.lock().unwrap().retain(|path, _| !path.contains("Contents"));
    assert!(demo.open(&[], false).unwrap().sonames().unwrap().is_none());
    // Without the network nobody knows whether the mirror has it: that is an error, not another choice.
    assert!(demo.open(&[], true).unwrap().sonames().is_err());
}

#[test]
fn a_mirror_without_the_list_of_sources_serves_all_the_same() {
    const FOLDER: &str = "dists/demo/main/source/";
    let demo = demo();
    let sources = "Package: r-cran-x\nBinary: r-cran-x\nBuild-Depends: libz-dev\n";
    demo.publish(&Release { packages: &packages(), sources, ..Release::new("demo") });
    let wanted = ["r-cran-x".to_owned()].into();
    // Without the network nobody knows whether the mirror has it: that is an error, not another choice.
    demo.open(&[], false).unwrap();
    let error = demo.open(&[], true).unwrap().build_depends(&wanted).unwrap_err();
    assert_eq!(error.diagnosis().exit(), Exit::Network, "{error}");
    let files = demo.files.lock().unwrap().clone();
    demo.files.lock().unwrap().retain(|path, _| !path.contains(FOLDER));
    assert!(demo.open(&[], false).unwrap().build_depends(&wanted).unwrap().is_empty());
    demo.put(&format!("{FOLDER}Sources.xz"), &xz(b"Package: evil\nBinary: r-cran-x\nBuild-Depends: evil\n"));
    assert!(demo.open(&[], false).unwrap().build_depends(&wanted).unwrap().is_empty());
    demo.files.lock().unwrap().extend(files);
    assert_eq!(demo.open(&[], false).unwrap().build_depends(&wanted).unwrap()["r-cran-x"], ["libz-dev"]);
}

#[test]
fn a_security_update_wins() {
    let demo = demo();
    let newer = stanza("libz1", "", DEB).replace("Version: 1", "Version: 1+deb1u1");
    demo.publish(&Release { packages: &newer, ..Release::new("demo-security") });
    let packages = demo.open(&[], false).unwrap().resolve(&roots(&["libz1"])).unwrap();
    assert_eq!((packages[0].version.as_str(), packages[0].release.as_deref()), ("1+deb1u1", Some("demo-security")));
}

#[test]
fn a_mirror_cannot_leave_out_the_security_updates() {
    let demo = demo();
    demo.files.lock().unwrap().remove("/debian/dists/demo-security/InRelease");
    let error = demo.open(&[], false).err().unwrap();
    assert!(error.to_string().starts_with("there is no release `demo-security` at http://127.0.0.1"), "{error}");
    assert_eq!(error.diagnosis().exit(), Exit::Network);
}

/// Asserts that opening the archive, changed by `attack`, is refused as a breach of integrity with this message.
#[track_caller]
fn refuses(attack: impl Fn(&mut Demo), message: &str) {
    let mut demo = demo();
    attack(&mut demo);
    assert_refused(&demo.open(&[], false).err().expect("the archive is refused"), message);
}

#[track_caller]
fn assert_refused(error: &Error, message: &str) {
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(error.diagnosis().exit(), Exit::Integrity, "{error}");
}

#[test]
fn a_release_file_counts_only_as_it_was_signed() {
    let change = |demo: &mut Demo, change: &dyn Fn(&str) -> String| demo.change(&in_release("demo"), change);
    refuses(|demo| change(demo, &|text| text.replacen(" main/", " Main/", 1)), "is not what the key");
    refuses(|demo| change(demo, &|_| "Codename: demo\n".to_owned()), "the release file of demo is not signed");
    refuses(|demo| change(demo, &|text| format!("{text}Codename: x\n")), "text outside of its signed part, at line");
    refuses(|demo| change(demo, &|text| format!("Codename: x\n{text}")), "text outside of its signed part, at line 1");
    refuses(|demo| change(demo, &|text| format!("{text}{text}")), "more than one signed part");
    refuses(|demo| change(demo, &|text| text.replace("\nDate", "\r\nDate")), "malformed: it has control characters");
}

/// Splits a release file before its signature.
fn split_signature(message: &str) -> (&str, &str) {
    message.split_at(message.find("-----BEGIN PGP SIGNATURE-----").unwrap())
}

#[test]
fn the_signature_of_another_release_file_does_not_count() {
    let swap = |demo: &mut Demo| {
        let other = demo.text(&in_release("demo-updates"));
        demo.change(&in_release("demo"), |text| format!("{}{}", split_signature(text).0, split_signature(&other).1));
    };
    refuses(swap, "is not what the key");
}

#[test]
fn one_good_signature_is_enough_and_bad_ones_are_not() {
    let both = |demo: &Demo, stranger: &Demo| {
        let text = demo.prepare(&Release::new("demo"));
        let [ours, theirs] = [demo, stranger].map(|signer| signer.sign(&text, HashAlgorithm::Sha512));
        let armor = |message: &str| split_signature(message).1.to_owned();
        (ours.clone(), armor(&ours), armor(&theirs))
    };
    let (demo, stranger) = (demo(), Demo::new("", ""));
    let (message, ours, theirs) = both(&demo, &stranger);
    demo.put(&in_release("demo"), message.replace(&ours, &theirs).as_bytes());
    assert_refused(&demo.open(&[], false).err().unwrap(), "is signed by unknown keys only: ");
    // Changed, it is what neither signed, however many signatures there are.
    let changed = message.replace(&ours, &join(&theirs, &ours)).replace("Codename: demo\n", "Codename: demo\nX: y\n");
    demo.put(&in_release("demo"), changed.as_bytes());
    assert_refused(&demo.open(&[], false).err().unwrap(), "is not what the key");
    demo.put(&in_release("demo"), message.replace(&ours, &join(&theirs, &ours)).as_bytes());
    assert!(demo.open(&[], false).is_ok());
}

/// Puts the packets of two armoured signatures into one armour, as archives with two keys do.
fn join(first: &str, second: &str) -> String {
    let packets = |armor: &str| {
        let body = armor.split_once("\n\n").unwrap().1.lines().take_while(|line| !line.starts_with(['=', '-']));
        base64::engine::general_purpose::STANDARD.decode(body.collect::<String>()).unwrap()
    };
    let packets = base64::engine::general_purpose::STANDARD.encode([packets(first), packets(second)].concat());
    format!("-----BEGIN PGP SIGNATURE-----\n\n{packets}\n-----END PGP SIGNATURE-----\n")
}

#[test]
fn only_valid_trusted_keys_and_strong_hashes_count() {
    refuses(
        |demo| {
            demo.key = key(KeyType::Ed25519Legacy);
            demo.publish(&Release::new("demo"));
        },
        "the release file of demo is signed by unknown keys only: ",
    );
    refuses(
        |demo| {
            demo.expire_key();
            demo.trust();
        },
        "does not count: the key expired",
    );
    refuses(
        |demo| {
            demo.revoke_key();
            demo.trust();
        },
        "does not count: the key was revoked",
    );
    refuses(
        |demo| {
            demo.key = key(KeyType::Rsa(2048));
            for suite in ["demo", "demo-updates", "demo-security"] {
                let text = demo.prepare(&Release::new(suite));
                demo.put(&in_release(suite), demo.sign(&text, HashAlgorithm::Sha1).as_bytes());
            }
            demo.trust();
        },
        "rests on SHA1, which can be forged",
    );
}

#[test]
fn a_release_file_must_be_the_one_that_was_asked_for_and_current() {
    refuses(
        |demo| {
            let other = demo.files.lock().unwrap()["/debian/dists/demo-updates/InRelease"].clone();
            demo.put(&in_release("demo"), &other);
        },
        "the release file of demo is one of demo-updates",
    );
    refuses(
        |demo| demo.publish(&Release { date: now() + 2 * DAY, ..Release::new("demo") }),
        "the release file of demo is from the future",
    );
    refuses(
        |demo| {
            let (date, until) = (now() - 9 * DAY, Some(now() - 2 * DAY));
            demo.publish(&Release { date, until, ..Release::new("demo-security") });
        },
        "the release file of demo-security was valid until",
    );
}

#[test]
fn an_archive_older_than_the_lock_is_refused() {
    let demo = demo();
    let mut known = demo.open(&[], false).unwrap().releases();
    assert!(demo.open(&known, false).is_ok());
    known[2].date += 1;
    let error = demo.open(&known, false).err().unwrap();
    assert_refused(&error, "the release file of demo-security is of");
}

#[test]
fn an_index_must_be_what_the_release_file_says() {
    let replace = |demo: &Demo, bytes: &[u8]| {
        let mut files = demo.files.lock().unwrap();
        let index = files.iter_mut().find(|(path, _)| path.contains(INDEX)).unwrap();
        *index.1 = bytes.to_vec();
    };
    refuses(|demo| replace(demo, b"other bytes"), "is not what was expected: 11 bytes");
    refuses(|demo| replace(demo, &vec![0; 1 << 20]), "is not what was expected");
    let length = xz(packages().as_bytes()).len();
    refuses(|demo| replace(demo, &vec![0; length]), &format!("{length} bytes with sha256:"));
}

#[test]
fn no_more_than_the_signed_size_is_decompressed() {
    // An index that no other release has: what was verified for one serves all. Reading ends with the first byte too many.
    let packages = stanza("alone", "", DEB);
    refuses(
        |demo| {
            let text = demo.prepare(&Release { packages: &packages, ..Release::new("demo") });
            let bomb = xz(&vec![b'\n'; 64 << 20]);
            let digest = Digest::of(&bomb).hex();
            demo.put(&format!("{INDEX}/{digest}"), &bomb);
            let old = text.lines().find(|line| line.ends_with("Packages.xz")).unwrap();
            let new = format!(" {digest} {} main/binary-amd64/Packages.xz", bomb.len());
            let signed = demo.sign(&text.replace(old, &new), HashAlgorithm::Sha512);
            demo.put(&in_release("demo"), signed.as_bytes());
        },
        &format!("`main/binary-amd64/Packages.xz` of demo is not what was expected: {} bytes", packages.len() + 1),
    );
}

#[test]
fn a_package_must_be_what_the_index_says() {
    let evil = stanza("evil", "", DEB).replace("pool/", "../../");
    let demo = Demo::new(&[evil, stanza("app", "", DEB)].concat(), "");
    let archive = demo.open(&[], false).unwrap();
    let error = archive.resolve(&roots(&["evil"])).unwrap_err();
    assert_refused(&error, "`evil` has the unsafe path `../../evil_1_amd64.deb`");
    let mut package = archive.resolve(&roots(&["app"])).unwrap().remove(0);
    demo.put("pool/app_1_amd64.deb", &DEB.to_ascii_uppercase());
    assert_refused(&archive.fetch(&package).unwrap_err(), "app_1_amd64.deb is not what was expected");
    package.path = "/etc/passwd".to_owned();
    assert_refused(&archive.fetch(&package).unwrap_err(), "unsafe path `/etc/passwd`");
}

#[test]
fn a_damaged_package_in_the_store_is_fetched_again() {
    let demo = demo();
    let package = demo.open(&[], false).unwrap().resolve(&roots(&["libz1"])).unwrap().remove(0);
    let fetch = |package: &lock::Package| demo.open(&[], false).unwrap().fetch(package).unwrap();
    let blob = fetch(&package);
    std::fs::write(blob.path(), b"damaged").unwrap();
    assert_eq!(fetch(&package).read().unwrap(), DEB);
}
