//! Debian packages in the making: an `ar` container with two archives, as deb(5) says.

use super::debian::xz;

/// Returns version 1 of a package for amd64 that installs these files.
pub(crate) fn deb(name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    deb_with(name, "1", &[], files)
}

/// Returns a version of a package for amd64 with maintainer scripts, such as `./postinst`.
pub(crate) fn deb_with(name: &str, version: &str, scripts: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<u8> {
    let control = format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nDescription: {name}\n");
    let control = [&[("./control", &*control)], scripts].concat();
    let (control, data) = (xz(&tar(&control)), xz(&tar(files)));
    let mut bytes = b"!<arch>\n".to_vec();
    for (member, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", &control), ("data.tar.xz", &data)] {
        let length = content.len();
        bytes.extend(format!("{member:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n", 0, 0, 0, 100_644).bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}
