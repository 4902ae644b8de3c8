//! Java's certificate authorities: `/etc/ssl/certs/java/cacerts`, as the trigger of ca-certificates-java makes it.
//!
//! The file is a Java keystore (JKS, version 2) with an entry for each certificate, named as the trigger names it. Entries
//! hold the time at which they were made; here that is the beginning of 1970, so that the file depends on its
//! certificates alone. Java checks the file by its password, which is no secret: Debian's and everybody's is `changeit`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::installed::Installed;
use super::{ConfigureError, Configured, certificates, place};
use crate::layer::tree::{Content, Node};

const PACKAGE: &str = "ca-certificates-java";
const STORE: &str = "etc/ssl/certs/java/cacerts";
const PASSWORD: &str = "changeit";
/// What JKS mixes into its checksum.
const SALT: &[u8] = b"Mighty Aphrodite";
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// The kind of entry that is a certificate without a private key.
const TRUSTED: u32 = 2;

/// Adds the keystore where ca-certificates-java is installed.
pub(super) fn apply(installed: &Installed<'_>, configured: &mut Configured) -> Result<(), ConfigureError> {
    if !installed.packages().any(|(name, _)| name == PACKAGE) {
        return Ok(());
    }
    let mut entries = Vec::new();
    for path in certificates::sources(installed) {
        let pem = installed.read(path)?.unwrap_or_default();
        if let Some(certificate) = decode(&String::from_utf8_lossy(&pem)) {
            entries.push((format!("debian:{}", certificates::link_name(path).to_ascii_lowercase()), certificate));
        }
    }
    configured.done(PACKAGE, format!("keystore {STORE}: {} certificates", entries.len()));
    configured.add(installed, place(PACKAGE, STORE)?, Node::file(Content::inline(keystore(&entries)), 0o644));
    Ok(())
}

/// Returns the bytes of a certificate in PEM.
fn decode(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// Returns a keystore of named certificates.
fn keystore(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [MAGIC, VERSION, length(entries.len())] {
        bytes.extend(number.to_be_bytes());
    }
    for (alias, certificate) in entries {
        bytes.extend(TRUSTED.to_be_bytes());
        add_text(&mut bytes, alias);
        bytes.extend(0_u64.to_be_bytes());
        add_text(&mut bytes, "X.509");
        bytes.extend(length(certificate.len()).to_be_bytes());
        bytes.extend(certificate);
    }
    let password = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let checksum = Sha1::new().chain_update(password).chain_update(SALT).chain_update(&bytes).finalize();
    bytes.extend(checksum);
    bytes
}

/// Adds a text as Java's `DataOutput.writeUTF` does; names of files in Debian are ASCII.
fn add_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names of files are shorter");
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("certificates are small and few")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn a_keystore_is_as_java_reads_it() {
        let bytes = keystore(&[("debian:a.pem".to_owned(), b"der".to_vec())]);
        let mut expected = b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x0cdebian:a.pem".to_vec();
        expected.extend(b"\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03der");
        assert_eq!(bytes[..bytes.len() - 20], expected);
        // Made by another program, from whose keystores `keytool -list` reads every entry.
        assert_eq!(Digest::of(&bytes).hex(), "dcea7cc73e8c5e57c4f80d9ca46bc047c178ca96f842dd46d4798ed3e24d9543");
    }

    #[test]
    fn certificates_are_decoded_and_other_text_is_not() {
        let pem = "# name\n-----BEGIN CERTIFICATE-----\nAAEC\nAwQ=\n-----END CERTIFICATE-----\n";
        assert_eq!(decode(pem), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(decode("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"), None);
        assert_eq!(decode("AAEC"), None);
    }
}
