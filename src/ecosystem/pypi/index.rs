//! Which Python package indexes to ask, and with which credentials.
//!
//! Addresses come from the user's settings (see [`Settings`]); where there are none, from pip's own default, so that no
//! index's name stands in mlpack. A user name and password go to the origin that they were configured for and nowhere
//! else, and never into a message.

use std::process::{Command, Stdio};

use url::Url;

pub use super::settings::Settings;
use super::settings::Written;
use super::zip::{Archive, ZipError};
use crate::error::{Diagnose, Exit};
use crate::fetch::http::display;
use crate::fs;

const PIP_MODULE: &str = "pip/_internal/models/index.py";

/// The indexes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A file of settings is not what it should be.
    #[error("`{}` is not a settings file of uv", path.display())]
    Syntax {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong in it.
        source: toml::de::Error,
    },
    /// A setting is not an address. The value is not shown: it may hold a password.
    #[error("the package index set in {origin} is not an http or https address")]
    Address {
        /// The file or variable with the setting.
        origin: String,
    },
    /// The file that should hold pip's default does not.
    #[error("pip's wheel has no default index")]
    NoDefault,
    /// pip's wheel is not a sound archive.
    #[error("pip's wheel cannot be read")]
    Wheel(#[from] ZipError),
    /// pip's wheel could not be had.
    #[error("no package index is configured, and pip's default could not be found: {0}")]
    Unavailable(crate::error::Error),
}

impl Diagnose for IndexError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Unavailable(error) => error.diagnosis().exit(),
            _ => Exit::Failure,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unavailable(_) | Self::NoDefault => {
                vec!["set UV_DEFAULT_INDEX to the address of a package index".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// The indexes to ask.
#[derive(Clone)]
pub struct Indexes {
    default: Url,
    extra: Vec<Url>,
    explicit: Vec<Url>,
    machines: Vec<Machine>,
}

/// What `.netrc` says of a host.
#[derive(Clone, Default)]
struct Machine {
    host: String,
    login: String,
    password: String,
}

impl Indexes {
    /// Reads the settings; `pip_wheel` gives pip's wheel, and is asked only where nothing is configured and the machine
    /// has no pip.
    pub fn new(
        settings: &Settings,
        pip_wheel: impl FnOnce() -> crate::error::Result<Vec<u8>>,
    ) -> Result<Self, IndexError> {
        let found = settings.read()?;
        let default = match found.defaults.first() {
            Some(written) => address(written, settings)?,
            None => default_address(settings, pip_wheel)?,
        };
        let (mut extra, mut explicit) = (Vec::new(), Vec::new());
        for written in &found.extra {
            let (url, list) = (address(written, settings)?, if written.explicit { &mut explicit } else { &mut extra });
            if url != default && !list.contains(&url) {
                list.push(url);
            }
        }
        let netrc = settings.netrc().filter(|path| path.is_file());
        let machines = netrc.map(|path| fs::read_to_string(&path)).transpose()?.map(|text| parse_netrc(&text));
        Ok(Self { default, extra, explicit, machines: machines.unwrap_or_default() })
    }

    /// Returns every index with its credentials, those that come before the default one first, as uv asks them.
    pub fn all(&self) -> impl Iterator<Item = &Url> {
        self.extra.iter().chain([&self.default]).chain(&self.explicit)
    }

    /// Returns the variables that tell uv of the indexes.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let extra = self.extra.iter().map(Url::as_str).collect::<Vec<_>>().join(" ");
        vec![("UV_DEFAULT_INDEX", self.default.to_string()), ("UV_INDEX", extra)]
    }

    /// Returns the address with the credentials that belong to its origin, where it has none of its own.
    pub fn authorize(&self, url: &Url) -> Url {
        if !url.username().is_empty() || url.password().is_some() {
            return url.clone();
        }
        let same = |index: &&Url| index.origin() == url.origin();
        let known = self.all().find(|index| same(index) && has_credentials(index));
        let host = url.host_str().unwrap_or_default();
        // Credentials of a host go unencrypted only where the user configured an unencrypted index.
        let allowed = url.scheme() == "https" || self.all().any(|index| same(&index));
        let machine = self.machines.iter().find(|machine| allowed && machine.host == host);
        let mut authorized = url.clone();
        // Setting credentials fails only for addresses without a host, which were refused.
        if let Some(index) = known {
            let _ = authorized.set_username(index.username());
            let _ = authorized.set_password(index.password());
        } else if let Some(machine) = machine {
            let _ = authorized.set_username(&machine.login);
            let _ = authorized.set_password(Some(&machine.password));
        }
        authorized
    }

    /// Removes the indexes' credentials from a text.
    pub fn redact(&self, text: &str) -> String {
        let redact = |text: String, index: &Url| match index.password().filter(|password| !password.is_empty()) {
            Some(password) => text.replace(password, "****"),
            None if has_credentials(index) => text.replace(index.username(), "****"),
            None => text,
        };
        self.all().fold(text.to_owned(), redact)
    }

    /// Returns the indexes' addresses without credentials, for messages.
    pub fn shown(&self) -> Vec<String> {
        self.all().map(display).collect()
    }
}

impl std::fmt::Debug for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.shown()).finish()
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn address(written: &Written, settings: &Settings) -> Result<Url, IndexError> {
    let wrong = || IndexError::Address { origin: written.origin.clone() };
    let mut url = Url::parse(&written.value).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong());
    }
    if let Some(name) = &written.name {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        let variable = |part: &str| settings.variable(&format!("UV_INDEX_{name}_{part}"));
        if let Some(username) = variable("USERNAME") {
            url.set_username(username).map_err(|()| wrong())?;
        }
        if let Some(password) = variable("PASSWORD") {
            url.set_password(Some(password)).map_err(|()| wrong())?;
        }
    }
    Ok(url)
}

/// Returns the address that pip has built in.
fn default_address(
    settings: &Settings,
    pip_wheel: impl FnOnce() -> crate::error::Result<Vec<u8>>,
) -> Result<Url, IndexError> {
    if let Some(url) = installed_default(settings) {
        return Ok(url);
    }
    let bytes = pip_wheel().map_err(IndexError::Unavailable)?;
    let mut file = tempfile::tempfile().map_err(fs::Error::wrap("create", std::env::temp_dir()))?;
    std::io::Write::write_all(&mut file, &bytes).map_err(fs::Error::wrap("write to", std::env::temp_dir()))?;
    let archive = Archive::open(file)?;
    let entry = archive.find(PIP_MODULE).ok_or(IndexError::NoDefault)?;
    let text = String::from_utf8(archive.read(entry, 1 << 20)?).map_err(|_| IndexError::NoDefault)?;
    parse_default(&text).ok_or(IndexError::NoDefault)
}

/// Asks the machine's own pip, where there is one.
fn installed_default(settings: &Settings) -> Option<Url> {
    const PROGRAM: &str = "import pip._internal.models.index as index; print(index.PyPI.simple_url)";
    settings.variable("PATH")?;
    let output = Command::new("python3").args(["-I", "-c", PROGRAM]).stdin(Stdio::null()).output().ok()?;
    let url = Url::parse(String::from_utf8(output.stdout).ok()?.trim()).ok()?;
    (output.status.success() && url.scheme() == "https").then_some(url)
}

/// Finds `PyPI = PackageIndex("<address>", …)` in pip's source.
fn parse_default(source: &str) -> Option<Url> {
    let (_, call) = source.split_once("\nPyPI = PackageIndex(")?;
    let address = call.trim_start().strip_prefix('"')?.split('"').next()?;
    let url = Url::parse(address).ok()?.join("simple").ok()?;
    (url.scheme() == "https").then_some(url)
}

/// Reads `machine`, `login` and `password` words; `default` and macros are not for indexes.
fn parse_netrc(text: &str) -> Vec<Machine> {
    let mut machines: Vec<Machine> = Vec::new();
    let mut words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    let mut current = false;
    while let Some(word) = words.next() {
        match (word, machines.last_mut().filter(|_| current)) {
            ("machine", _) => {
                let host = words.next().unwrap_or_default().to_owned();
                machines.push(Machine { host, ..Machine::default() });
                current = true;
            }
            ("login", Some(machine)) => words.next().unwrap_or_default().clone_into(&mut machine.login),
            ("password", Some(machine)) => words.next().unwrap_or_default().clone_into(&mut machine.password),
            ("default", _) => current = false,
            _ => {}
        }
    }
    machines
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn indexes(variables: &[(&str, &str)]) -> Result<Indexes, IndexError> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { environment, root: root.path().to_owned(), ..Settings::default() };
        Indexes::new(&settings, || panic!("an index is configured"))
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let indexes = indexes(&[("UV_DEFAULT_INDEX", "https://me:secret@index.test/simple")]).unwrap();
        let authorized = |url: &str| indexes.authorize(&Url::parse(url).unwrap()).to_string();
        assert_eq!(authorized("https://index.test/files/x.whl"), "https://me:secret@index.test/files/x.whl");
        for other in ["https://files.test/x.whl", "http://index.test/x.whl", "https://index.test:444/x.whl"] {
            assert_eq!(authorized(other), other);
        }
    }

    #[test]
    fn no_message_shows_a_password() {
        let indexes = indexes(&[("UV_DEFAULT_INDEX", "https://me:secret@index.test/simple")]).unwrap();
        assert!(!format!("{indexes:?} {:?}", indexes.shown()).contains("secret"));
        assert!(!indexes.redact("failed: https://me:secret@index.test").contains("secret"));
        let error = self::indexes(&[("PIP_INDEX_URL", "ftp://me:secret@index.test")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn a_named_index_takes_its_credentials_from_the_environment() {
        let indexes = indexes(&[
            ("UV_DEFAULT_INDEX", "my-own=https://index.test/simple"),
            ("UV_INDEX_MY_OWN_USERNAME", "me"),
            ("UV_INDEX_MY_OWN_PASSWORD", "a/b"),
        ]);
        assert_eq!(indexes.unwrap().default.as_str(), "https://me:a%2Fb@index.test/simple");
    }

    #[test]
    fn netrc_is_for_encrypted_or_configured_hosts() {
        let mut indexes = indexes(&[("UV_DEFAULT_INDEX", "http://plain.test/simple")]).unwrap();
        indexes.machines = parse_netrc(
            "machine plain.test login a password b\nmachine other.test\n login c\n password d\ndefault login x password y\n",
        );
        let authorized = |url: &str| indexes.authorize(&Url::parse(url).unwrap()).to_string();
        assert_eq!(authorized("http://plain.test/f"), "http://a:b@plain.test/f");
        assert_eq!(authorized("https://other.test/f"), "https://c:d@other.test/f");
        assert_eq!(authorized("http://other.test/f"), "http://other.test/f");
        assert_eq!(authorized("https://third.test/f"), "https://third.test/f");
    }

    #[test]
    fn a_bare_machine_takes_the_default_from_the_wheel_of_pip() {
        let source = "\nPyPI = PackageIndex(\"https://index.test/\", file_storage_domain=\"files.test\")\n";
        let wheel = |name: &str| {
            let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(source.as_bytes()).unwrap();
            writer.finish().unwrap().into_inner()
        };
        // Without a search path there is no Python.
        let indexes = |name: &str| Indexes::new(&Settings::default(), || Ok(wheel(name)));
        assert_eq!(indexes(PIP_MODULE).unwrap().default.as_str(), "https://index.test/simple");
        assert!(matches!(indexes("other.py"), Err(IndexError::NoDefault)));
    }

    #[test]
    fn the_default_is_read_from_the_source_of_pip() {
        let source = "class PackageIndex: pass\n\nPyPI = PackageIndex(\n    \"https://index.test/\", file_storage_domain=\"files.test\"\n)\n";
        assert_eq!(parse_default(source).unwrap().as_str(), "https://index.test/simple");
        assert_eq!(parse_default("PyPI = other"), None);
    }
}
