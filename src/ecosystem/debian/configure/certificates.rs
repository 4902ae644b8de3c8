//! The certificate authorities: one bundle of all, as update-ca-certificates(8) makes it.
//!
//! Links named by hashes are not made: every TLS library that Debian ships finds the bundle, or is told of it by OpenSSL's
//! `cert.pem`.

use super::installed::Installed;
use super::{ConfigureError, Configured, place};
use crate::layer::tree::{Content, Node};

const SOURCES: &str = "usr/share/ca-certificates";
const FOLDER: &str = "etc/ssl/certs";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where Debian's OpenSSL looks first.
const OPENSSL_BUNDLE: &str = "usr/lib/ssl/cert.pem";
const LIST: &str = "etc/ca-certificates.conf";
const PACKAGE: &str = "ca-certificates";

/// Adds the bundle, a link for each certificate, and the list that update-ca-certificates would read.
pub(super) fn apply(installed: &Installed<'_>, configured: &mut Configured) -> Result<(), ConfigureError> {
    let mut bundle = Vec::new();
    let mut list = String::new();
    for path in sources(installed) {
        bundle.extend(installed.read(path)?.unwrap_or_default());
        // Some certificates have no line break at their end.
        if bundle.last() != Some(&b'\n') {
            bundle.push(b'\n');
        }
        list.push_str(path.trim_start_matches(SOURCES).trim_start_matches('/'));
        list.push('\n');
        let link = place(PACKAGE, &format!("{FOLDER}/{}", link_name(path)))?;
        configured.add(installed, link, Node::symlink(format!("/{path}")));
    }
    if bundle.is_empty() {
        return Ok(());
    }
    for (path, bytes) in [(BUNDLE, bundle), (LIST, list.into_bytes())] {
        configured.add(installed, place(PACKAGE, path)?, Node::file(Content::inline(bytes), 0o644));
    }
    configured.add(installed, place(PACKAGE, OPENSSL_BUNDLE)?, Node::symlink(format!("/{BUNDLE}")));
    configured.done(PACKAGE, format!("bundle {BUNDLE}"));
    Ok(())
}

/// Returns the files of the certificates, in order of path.
pub(super) fn sources<'a>(installed: &Installed<'a>) -> impl Iterator<Item = &'a str> {
    installed.files_below(SOURCES).filter(|path| path.ends_with(".crt"))
}

/// The name that update-ca-certificates gives the link to a certificate.
pub(super) fn link_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".crt");
    name.replace([' ', ','], "_").replace(['(', ')'], "=") + ".pem"
}
