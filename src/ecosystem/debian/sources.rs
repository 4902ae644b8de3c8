//! Which mirrors to fetch from: what the user configured, else what this machine's apt uses, else a public one.
//!
//! Mirrors are not trusted with anything, and no lock names one.

use std::path::{Path, PathBuf};

use url::Url;

use super::control;
use crate::error::{Diagnose, Exit};
use crate::fs;

/// The mirrors used where nothing else is configured: Debian's content delivery network.
const PUBLIC: [&str; 2] = ["https://cloudfront.debian.net/debian", "https://cloudfront.debian.net/debian-security"];

/// Where apt keeps its configuration.
pub const APT_FOLDER: &str = "/etc/apt";

/// Where the archive's files come from, and whose signatures are trusted.
#[derive(Clone, Debug)]
pub struct Mirrors {
    /// A mirror of the main archive: the folder that holds `dists` and `pool`.
    pub archive: Url,
    /// A mirror of the security archive.
    pub security: Url,
    /// Keyring files trusted beside Debian's own keys.
    pub keyrings: Vec<PathBuf>,
}

/// What the user configured, by option or environment.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// A mirror of the main archive.
    pub archive: Option<String>,
    /// A mirror of the security archive.
    pub security: Option<String>,
    /// Keyring files trusted beside Debian's own keys.
    pub keyrings: Vec<PathBuf>,
}

/// A configured mirror is not an address.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not the address of a Debian mirror")]
pub struct MirrorError {
    text: String,
    source: Option<url::ParseError>,
}

impl Diagnose for MirrorError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "give an http or https address of the folder that holds `dists`, such as https://example.org/debian"
                .to_owned(),
        ]
    }
}

impl Mirrors {
    /// Chooses the mirrors; `apt` is apt's configuration folder, [`APT_FOLDER`] but for tests.
    pub fn find(configured: &Configured, apt: &Path) -> Result<Self, MirrorError> {
        let sources = apt_sources(apt);
        let choose = |configured: &Option<String>, security: bool| match configured {
            Some(text) => parse(text),
            None => match likeliest(sources.iter().filter(|source| source.may_be_debian(security))) {
                Some(source) => parse(&source.uri),
                None => parse(PUBLIC[usize::from(security)]),
            },
        };
        Ok(Self {
            archive: choose(&configured.archive, false)?,
            security: choose(&configured.security, true)?,
            keyrings: configured.keyrings.clone(),
        })
    }

    /// Returns the mirror that has a release.
    pub fn of(&self, release: &str) -> &Url {
        if release.ends_with("-security") { &self.security } else { &self.archive }
    }
}

fn parse(text: &str) -> Result<Url, MirrorError> {
    let refuse = |source| MirrorError { text: text.to_owned(), source };
    let url = Url::parse(text).map_err(|error| refuse(Some(error)))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(refuse(None)) }
}

/// A line of apt's sources.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    /// The keys whose signatures apt takes, where they are stated.
    signed_by: Option<String>,
}

impl Source {
    /// Whether it may be Debian's main archive, or its security archive: others name their suites after Debian's, too.
    fn may_be_debian(&self, security: bool) -> bool {
        const SUITES: [&str; 11] = [
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "duke",
            "sid",
            "oldoldstable",
            "oldstable",
            "stable",
            "testing",
            "unstable",
        ];
        let (suite, is_security) = match self.suite.strip_suffix("-security") {
            Some(suite) => (suite, true),
            None => (self.suite.as_str(), false),
        };
        let usable = self.uri.starts_with("http://") || self.uri.starts_with("https://");
        usable && is_security == security && SUITES.contains(&suite)
    }

    /// How likely it is that the source is Debian's: by its keys before its address, which others choose alike.
    fn likelihood(&self) -> (bool, bool, bool) {
        let is_debians = |key: &str| key.rsplit('/').next().is_some_and(|name| name.starts_with("debian-archive-"));
        let mut keys = self.signed_by.iter().flat_map(|keys| keys.split([' ', ',']));
        let path = self.uri.trim_end_matches('/');
        let is_named_so = path.ends_with("/debian") || path.ends_with("/debian-security");
        (keys.any(is_debians), is_named_so && self.signed_by.is_none(), is_named_so)
    }
}

/// Returns the first of the likeliest sources.
fn likeliest<'a>(sources: impl DoubleEndedIterator<Item = &'a Source>) -> Option<&'a Source> {
    // Of equal ones the last would be taken.
    sources.rev().max_by_key(|source| source.likelihood())
}

/// Reads apt's sources, in the order of their files' names. What cannot be read is passed over: this is a default.
fn apt_sources(folder: &Path) -> Vec<Source> {
    let mut files = vec![folder.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(folder.join("sources.list.d")) {
        let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    files.iter().flat_map(|path| sources_of(path)).collect()
}

fn sources_of(path: &Path) -> Vec<Source> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("list") => text.lines().filter_map(one_line).collect(),
        Some("sources") => deb822(&text),
        _ => Vec::new(),
    }
}

/// Reads the form `deb [options] uri suite component…`.
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim_start().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_ascii_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_ascii_whitespace();
    let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Source { uri, suite, signed_by: signed_by.map(str::to_owned) })
}

/// Reads the form with fields `Types`, `URIs`, `Suites` and `Signed-By`.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in control::stanzas(text) {
        let words = |name| stanza.field(name).unwrap_or_default().split_ascii_whitespace();
        if words("Enabled").any(|word| word == "no") || !words("Types").any(|word| word == "deb") {
            continue;
        }
        let signed_by = stanza.field("Signed-By").map(str::to_owned);
        for uri in words("URIs") {
            sources.extend(words("Suites").map(|suite| Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                signed_by: signed_by.clone(),
            }));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(files: &[(&str, &str)], configured: &Configured) -> Mirrors {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Mirrors::find(configured, folder.path()).unwrap()
    }

    #[test]
    fn the_mirrors_of_apt_are_used() {
        let list = "# deb http://a.example.org/debian stable main\n\
            deb-src http://b.example.org/debian stable main\ndeb http://c.example.org/other focal main\n\
            deb [arch=amd64 signed-by=/k] http://d.example.org/debian bookworm main\n";
        let sources = "Types: deb\n# a comment\nURIs: http://e.example.org/debian-security\nSuites: bookworm-security\n\n\
            Types: deb\nEnabled: no\nURIs: http://f.example.org/debian\nSuites: trixie\n";
        let files = [("sources.list", list), ("sources.list.d/x.sources", sources), ("sources.list.d/y.bak", list)];
        let mirrors = find(&files, &Configured::default());
        assert_eq!(mirrors.of("bookworm-updates").as_str(), "http://d.example.org/debian");
        assert_eq!(mirrors.of("bookworm-security").as_str(), "http://e.example.org/debian-security");
    }

    #[test]
    fn others_that_have_suites_of_the_same_name_are_not_taken_for_debian() {
        let azure = "deb [arch=amd64] https://a.example.org/repos/azure-cli/ bookworm main\n";
        let docker = "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://b.example.org/linux/debian bookworm stable\n";
        let plain = "deb http://c.example.org/debian bookworm main\ndeb http://d.example.org/debian bookworm main\n";
        let signed = "Types: deb\nURIs: http://e.example.org/mirror\nSuites: bookworm\nComponents: main\n\
            Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        for (files, expected) in [
            (&[azure, docker, plain][..], "http://c.example.org/debian"),
            (&[azure, docker], "https://b.example.org/linux/debian"),
            (&[azure], "https://a.example.org/repos/azure-cli/"),
            (&[azure, docker, plain, signed], "http://e.example.org/mirror"),
        ] {
            let ending = |text: &str| if text.starts_with("Types") { "sources" } else { "list" };
            let name = |(number, text): (usize, &&str)| format!("sources.list.d/{number}.{}", ending(text));
            let names: Vec<_> = files.iter().enumerate().map(name).collect();
            let files: Vec<_> = names.iter().map(String::as_str).zip(files.iter().copied()).collect();
            assert_eq!(find(&files, &Configured::default()).archive.as_str(), expected);
        }
    }

    #[test]
    fn what_is_configured_comes_first_and_a_public_mirror_last() {
        let configured = Configured { archive: Some("https://example.org/d".to_owned()), ..Configured::default() };
        let mirrors = find(&[("sources.list", "deb http://a.example.org/debian stable main")], &configured);
        assert_eq!(mirrors.archive.as_str(), "https://example.org/d");
        assert_eq!(mirrors.security.as_str(), PUBLIC[1]);
    }

    #[test]
    fn other_schemes_are_refused() {
        for text in ["file:///debian", "debian", ""] {
            let configured = Configured { archive: Some(text.to_owned()), ..Configured::default() };
            assert!(Mirrors::find(&configured, Path::new("/nonexistent")).is_err(), "{text}");
        }
    }
}
