//! A small signed Debian archive in memory, served over loopback.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use mlpack::digest::Digest;
use mlpack::ecosystem::debian::{Archive, Mirrors};
use mlpack::error::Result;
use mlpack::event::Silent;
use mlpack::fetch::Home;
use mlpack::fetch::http::Http;
use mlpack::lock;
use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{Duration, KeyDetails as _, Password, Tag, Timestamp};
use tempfile::TempDir;

use super::http::{Files, Server};

/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;

/// The archive: a release such as `demo` with its `-updates` and `-security`, signed with a key of its own.
pub(crate) struct Demo {
    pub(crate) files: Files,
    pub(crate) server: Server,
    pub(crate) key: SignedSecretKey,
    folder: TempDir,
}

/// What a release says of itself.
pub(crate) struct Release<'a> {
    pub(crate) suite: &'a str,
    pub(crate) date: i64,
    pub(crate) until: Option<i64>,
    /// Further lines of the release file.
    pub(crate) fields: &'a str,
    pub(crate) packages: &'a str,
    pub(crate) contents: &'a str,
    pub(crate) sources: &'a str,
}

impl<'a> Release<'a> {
    /// Returns a release of today without packages.
    pub(crate) fn new(suite: &'a str) -> Self {
        Self { suite, date: now(), until: None, fields: "", packages: "", contents: "", sources: "" }
    }
}

impl Demo {
    /// Publishes an archive whose main release, `demo`, has these packages and contents.
    pub(crate) fn new(packages: &str, contents: &str) -> Self {
        Self::named("demo", packages, contents)
    }

    /// The same with another name of the main release.
    pub(crate) fn named(suite: &str, packages: &str, contents: &str) -> Self {
        let files = Files::default();
        let server = Server::start(files.clone());
        let demo = Self { files, server, key: key(KeyType::Ed25519Legacy), folder: tempfile::tempdir().unwrap() };
        demo.publish(&Release { packages, contents, ..Release::new(suite) });
        for part in ["updates", "security"] {
            demo.publish(&Release::new(&format!("{suite}-{part}")));
        }
        demo.trust();
        demo
    }

    /// Writes the public key where the archive's user keeps keys.
    pub(crate) fn trust(&self) {
        let armored = self.key.to_public_key().to_armored_string(ArmorOptions::default()).unwrap();
        std::fs::write(self.keyring(), armored).unwrap();
    }

    /// Publishes a release with its indexes.
    pub(crate) fn publish(&self, release: &Release<'_>) {
        let text = self.prepare(release);
        self.put(&in_release(release.suite), self.sign(&text, HashAlgorithm::Sha512).as_bytes());
    }

    /// Publishes the indexes of a release and returns the text of its release file.
    pub(crate) fn prepare(&self, release: &Release<'_>) -> String {
        let suite = release.suite;
        let mut text = format!("Codename: {suite}\nDate: {}\nAcquire-By-Hash: yes\n", date(release.date));
        if let Some(until) = release.until {
            writeln!(text, "Valid-Until: {}", date(until)).unwrap();
        }
        text.push_str(release.fields);
        text.push_str("SHA256:\n");
        let packages = release.packages.as_bytes();
        let contents = release.contents.as_bytes();
        for (path, bytes, packed) in [
            ("main/binary-amd64/Packages", packages.to_vec(), false),
            ("main/binary-amd64/Packages.xz", xz(packages), true),
            ("main/Contents-amd64", contents.to_vec(), false),
            ("main/Contents-amd64.gz", gzip(contents), true),
            ("main/source/Sources", release.sources.as_bytes().to_vec(), false),
            ("main/source/Sources.xz", xz(release.sources.as_bytes()), true),
        ] {
            let digest = Digest::of(&bytes).hex();
            writeln!(text, " {digest} {} {path}", bytes.len()).unwrap();
            if packed {
                let folder = path.rsplit_once('/').unwrap().0;
                self.put(&format!("dists/{suite}/{folder}/by-hash/SHA256/{digest}"), &bytes);
            }
        }
        text
    }

    /// Signs a text in the cleartext framework.
    pub(crate) fn sign(&self, text: &str, hash: HashAlgorithm) -> String {
        let mut config = SignatureConfig::v4(SignatureType::Text, self.key.algorithm(), hash);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now())).unwrap(),
            Subpacket::regular(SubpacketData::IssuerFingerprint(self.key.fingerprint())).unwrap(),
        ];
        let message = CleartextSignedMessage::new(text, config, &self.key.primary_key, &Password::empty()).unwrap();
        message.to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// Makes the key one that expired a second after it was made.
    pub(crate) fn expire_key(&mut self) {
        let mut config = self.self_signature(SignatureType::CertPositive);
        config
            .hashed_subpackets
            .push(Subpacket::regular(SubpacketData::KeyExpirationTime(Duration::from_secs(1))).unwrap());
        let user = &mut self.key.details.users[0];
        let (secret, public) = (&self.key.primary_key, self.key.primary_key.public_key());
        let signature = config.sign_certification(secret, public, &Password::empty(), Tag::UserId, &user.id).unwrap();
        user.signatures = vec![signature];
    }

    /// Revokes the key.
    pub(crate) fn revoke_key(&mut self) {
        let config = self.self_signature(SignatureType::KeyRevocation);
        let (secret, public) = (&self.key.primary_key, self.key.primary_key.public_key());
        let signature = config.sign_key(secret, &Password::empty(), public).unwrap();
        self.key.details.revocation_signatures.push(signature);
    }

    fn self_signature(&self, kind: SignatureType) -> SignatureConfig {
        let mut config = SignatureConfig::v4(kind, self.key.algorithm(), HashAlgorithm::Sha512);
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now())).unwrap(),
            Subpacket::regular(SubpacketData::IssuerFingerprint(self.key.fingerprint())).unwrap(),
        ];
        config
    }

    /// Serves a file of the archive.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.files.lock().unwrap().insert(format!("/debian/{path}"), bytes.to_vec());
    }

    /// Returns a file that is served.
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.files.lock().unwrap()[&format!("/debian/{path}")].clone()).unwrap()
    }

    /// Changes a file that is served.
    pub(crate) fn change(&self, path: &str, change: impl Fn(&str) -> String) {
        let path = format!("/debian/{path}");
        let mut files = self.files.lock().unwrap();
        let changed = change(std::str::from_utf8(&files[&path]).unwrap());
        files.insert(path, changed.into_bytes());
    }

    /// Opens the archive for linux/amd64.
    pub(crate) fn open(&self, known: &[lock::Release], offline: bool) -> Result<Archive> {
        self.open_with(&[], known, offline)
    }

    /// The same with further suites.
    pub(crate) fn open_with(&self, further: &[&str], known: &[lock::Release], offline: bool) -> Result<Archive> {
        let address = self.address().parse::<url::Url>().unwrap();
        let mirrors = Mirrors { archive: address.clone(), security: address, keyrings: vec![self.keyring()] };
        let home = Home::below(&self.folder.path().join("home"));
        let http = Http::new(Arc::new(Silent), offline);
        let further: Vec<_> = further.iter().map(|suite| (*suite).to_owned()).collect();
        Archive::open("demo", &further, "linux/amd64".parse().unwrap(), &mirrors, &home, &http, known)
    }

    /// Returns the archive's address.
    pub(crate) fn address(&self) -> String {
        format!("{}/debian", self.server.url())
    }

    /// Returns the file with the public key.
    pub(crate) fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring.asc")
    }
}

/// Returns the path of a release file.
pub(crate) fn in_release(suite: &str) -> String {
    format!("dists/{suite}/InRelease")
}

/// Returns a new signing key, a week old.
pub(crate) fn key(kind: KeyType) -> SignedSecretKey {
    let mut parameters = SecretKeyParamsBuilder::default();
    parameters.key_type(kind).can_certify(true).can_sign(true).primary_user_id("Demo".to_owned());
    parameters.created_at(Timestamp::from_secs(u32::try_from(now() - 7 * DAY).unwrap()));
    parameters.build().unwrap().generate(rand::thread_rng()).unwrap()
}

/// Returns the time, in seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

/// Returns a stanza of `Packages` for a file with these bytes.
pub(crate) fn stanza(name: &str, fields: &str, deb: &[u8]) -> String {
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: pool/{name}_1_amd64.deb\nSize: {}\nSHA256: {}\n{fields}\n",
        deb.len(),
        Digest::of(deb).hex(),
    )
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap();
    packed
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

/// Writes a time as release files do; nobody reads the day of the week.
fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let (mut days, mut year, mut month) = (seconds / DAY, 1970, 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("Mon, {:02} {} {year} {hour:02}:{minute:02}:{second:02} UTC", days + 1, MONTHS[month])
}
