//! What `lock`, `build` and `serve` start from: the manifest, its lock, and the packaging worlds as configured here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Terminal;
use super::push::PushOptions;
use crate::build::{self, server_lock};
use crate::ecosystem::debian::sources::Configured;
use crate::ecosystem::{Settings, Worlds};
use crate::error::{Diagnose, Exit, Result};
use crate::fetch::http::Http;
use crate::lock::{FORMAT, Lock, LockError, PlatformLock, ServerLock};
use crate::manifest::{self, Manifest};
use crate::platform::Platform;
use crate::resolve::{self, request};
use crate::runtime::Runtime;
use crate::vendor::{Place, Vendored};

/// Options of every subcommand that resolves or builds.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The model manifest
    #[arg(default_value = "manifest.yaml")]
    pub manifest: PathBuf,
    /// Build for this platform, such as linux/arm64 (repeatable) [default: the manifest's]
    #[arg(long = "platform")]
    pub platforms: Vec<Platform>,
    /// Use only what is in the cache, and what was vendored
    #[arg(long)]
    pub offline: bool,
    /// The mlpack-server program for the image; for several platforms one for each [default: those beside mlpack]
    #[arg(long = "server", env = "MLPACK_SERVER", value_delimiter = ':', value_name = "FILE")]
    pub servers: Vec<PathBuf>,
    /// Debian's mirror [default: the machine's own apt sources, else a public one]
    #[arg(long, env = "MLPACK_DEBIAN_MIRROR", value_name = "URL")]
    pub debian_mirror: Option<String>,
    /// Debian's security mirror
    #[arg(long, env = "MLPACK_DEBIAN_SECURITY_MIRROR", value_name = "URL")]
    pub debian_security_mirror: Option<String>,
    /// The uv program that resolves Python packages [default: a pinned version, fetched once]
    #[arg(long, env = "MLPACK_UV", value_name = "FILE")]
    pub uv: Option<PathBuf>,
    /// Where a repository of R packages is: http, https or file (repeatable) [default: as the manifest says]
    #[arg(
        long = "r-repository",
        env = "MLPACK_R_REPOSITORIES",
        hide_env_values = true,
        value_delimiter = ' ',
        value_name = "NAME=URL"
    )]
    pub r_repositories: Vec<String>,
    /// A file of OpenPGP keys trusted beside Debian's own (repeatable)
    #[arg(long = "debian-keyring", env = "MLPACK_DEBIAN_KEYRING", value_delimiter = ':', value_name = "FILE")]
    pub debian_keyrings: Vec<PathBuf>,
    /// Take packages and server programs from where `mlpack vendor` put them: a folder, or REGISTRY/REPOSITORY:TAG
    #[arg(long, env = "MLPACK_VENDOR", value_name = "DIR|REF")]
    pub vendor: Option<Place>,
    #[command(flatten)]
    pub registry: PushOptions,
}

/// The server program cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    /// There is none.
    #[error("there is no mlpack-server for {platform} at `{}`", path.display())]
    Missing {
        /// The platform.
        platform: Platform,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is not a static program for the platform, and neither is any other that was named.
    #[error("`{}` is not a static program for {platform}", path.display())]
    Wrong {
        /// The platform.
        platform: Platform,
        /// The program.
        path: PathBuf,
    },
}

impl Diagnose for ServerError {
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    fn hints(&self) -> Vec<String> {
        let (Self::Missing { platform, .. } | Self::Wrong { platform, .. }) = self;
        vec![format!(
            "build it with `sh runtimes/build-server.sh {}` from mlpack's sources, or name one with `--server FILE`",
            platform.machine()
        )]
    }
}

/// A manifest with its lock file.
pub(super) struct Workspace {
    /// The manifest.
    pub manifest: Manifest,
    /// The runtime that it asks for.
    pub runtime: Runtime,
    /// The lock file beside the manifest.
    pub lock_path: PathBuf,
    terminal: Terminal,
    http: Http,
    settings: Settings,
    servers: Vec<PathBuf>,
    platforms: Vec<Platform>,
}

impl Workspace {
    /// Reads the manifest that the options name.
    pub(super) fn open(options: &Options, terminal: &Terminal) -> Result<Self> {
        let manifest = manifest::load(&options.manifest)?;
        let runtime = Runtime::find(&manifest.runtime.language.to_string(), &manifest.runtime.version)?;
        let platforms =
            if options.platforms.is_empty() { manifest.platforms.clone() } else { options.platforms.clone() };
        let connection = options.registry.connection();
        let open = |place| Vendored::open(place, &connection, terminal.report()).map(Arc::new);
        Ok(Self {
            lock_path: lock_path(&manifest),
            runtime,
            platforms,
            terminal: terminal.clone(),
            http: Http::new(terminal.report().clone(), options.offline),
            settings: Settings {
                debian: Configured {
                    archive: options.debian_mirror.clone(),
                    security: options.debian_security_mirror.clone(),
                    keyrings: options.debian_keyrings.clone(),
                },
                environment: environment(std::env::vars_os()),
                uv: options.uv.clone(),
                r_repositories: options
                    .r_repositories
                    .iter()
                    .map(|text| named_address(text))
                    .collect::<Result<_, _>>()?,
                vendored: options.vendor.as_ref().map(open).transpose()?,
            },
            servers: options.servers.clone(),
            manifest,
        })
    }

    /// The platforms to lock or build.
    pub(super) fn platforms(&self) -> &[Platform] {
        &self.platforms
    }

    /// The platform of this machine, which is what can be served here.
    pub(super) fn host_platform(&self) -> Result<Platform> {
        Platform::host().filter(|host| self.platforms.contains(host)).ok_or_else(|| HostError.into())
    }

    /// The packaging worlds for one platform.
    pub(super) fn worlds(&self, platform: Platform) -> Result<Worlds> {
        Worlds::new(self.terminal.home(), &self.http, &self.settings, &self.manifest, &self.runtime, platform)
    }

    /// Returns the server program for a platform, checked to be a static program for it: the one that was named; else the
    /// one that the lock names, where it was vendored; else the one beside mlpack.
    pub(super) fn server(&self, platform: Platform, locked: Option<&ServerLock>) -> Result<PathBuf> {
        let mut candidates = self.servers.clone();
        if candidates.is_empty() {
            candidates.extend(self.vendored_server(locked)?);
        }
        if candidates.is_empty() {
            candidates.push(beside(platform));
        }
        for path in &candidates {
            if !path.is_file() {
                return Err(ServerError::Missing { platform, path: path.clone() }.into());
            }
            if crate::elf::is_static(path, platform)? {
                return Ok(path.clone());
            }
        }
        let path = candidates.pop().expect("there is one at least");
        Err(ServerError::Wrong { platform, path }.into())
    }

    fn vendored_server(&self, locked: Option<&ServerLock>) -> Result<Option<PathBuf>> {
        let (Some(vendored), Some(locked)) = (&self.settings.vendored, locked) else { return Ok(None) };
        let blob = vendored.fetch(&self.terminal.home().blobs()?, locked.sha256, locked.size)?;
        Ok(blob.map(|blob| blob.path().to_owned()))
    }

    /// Returns the lock file, checked to fit the manifest; `None` where there is none yet.
    pub(super) fn lock(&self) -> Result<Option<Lock>> {
        let Some(lock) = Lock::read(&self.lock_path)? else { return Ok(None) };
        request::check(&lock, &request::lines(&self.manifest)?, &self.lock_path)?;
        Ok(Some(lock))
    }

    /// Returns a lock that has all of `platforms`: the one that is there, completed, or with `update` a new one.
    ///
    /// The file is written when anything in it changed. An update's present lock need not fit the manifest any more: it
    /// still says how new the archive's releases were, and an older one is not taken for an update.
    pub(super) fn locked(&self, platforms: &[Platform], update: bool) -> Result<Lock> {
        let present = if update { Lock::read_to_replace(&self.lock_path)? } else { self.lock()? };
        let requested = request::lines(&self.manifest)?;
        let request = request::digest(&requested);
        let kept = present.as_ref().filter(|present| present.request == request);
        let kept = kept.map(|kept| kept.platforms.clone()).unwrap_or_default();
        let mut lock = Lock { format: FORMAT, request, requested, platforms: kept };
        let mut changed = Vec::new();
        for &platform in platforms {
            if update || !lock.platforms.contains_key(&platform) {
                let known = present.as_ref().and_then(|present| present.platforms.get(&platform));
                lock.platforms.insert(platform, self.resolve(platform, known)?);
                changed.push(platform);
            }
        }
        if present.as_ref() != Some(&lock) {
            lock.merge_into(&self.lock_path, &changed)?;
        }
        Ok(lock)
    }

    fn resolve(&self, platform: Platform, known: Option<&PlatformLock>) -> Result<PlatformLock> {
        let report = self.terminal.report();
        report.say(format!(
            "Resolving {} {} on Debian {} for {platform}",
            self.runtime.language, self.runtime.version, self.runtime.suite
        ));
        let server = server_lock(&self.server(platform, known.map(|known| &known.server))?)?;
        let releases = known.map_or(&[][..], |known| &known.releases);
        resolve::resolve(&self.manifest, &self.runtime, &self.worlds(platform)?, server, releases)
    }

    /// Returns what a build of one platform is made of; `locked` is the server program that the lock names.
    pub(super) fn inputs<'a>(
        &'a self,
        worlds: &'a Worlds,
        locked: &ServerLock,
        compression: crate::layer::Compression,
    ) -> Result<build::Inputs<'a>> {
        Ok(build::Inputs {
            manifest: &self.manifest,
            runtime: &self.runtime,
            server: self.server(worlds.platform(), Some(locked))?,
            worlds,
            compression,
            epoch: source_date_epoch()?,
        })
    }
}

/// Reads `NAME=URL`.
fn named_address(text: &str) -> Result<(String, String), RepositoryError> {
    let (name, address) = text.split_once('=').ok_or(RepositoryError)?;
    Ok((name.to_owned(), address.to_owned()))
}

/// The place of a repository was given without its name. What was given is not shown: addresses may hold credentials.
#[derive(Debug, thiserror::Error)]
#[error("`--r-repository`, or MLPACK_R_REPOSITORIES, has an address without a name")]
struct RepositoryError;

impl Diagnose for RepositoryError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["write it as NAME=URL, such as cran=https://example.org/cran".to_owned()]
    }
}

/// `mlpack.lock` beside `manifest.yaml`; beside any other name, `<name>.lock`, so that two manifests can share a folder.
fn lock_path(manifest: &Manifest) -> PathBuf {
    let stem = manifest.path.file_stem().unwrap_or_default().to_string_lossy();
    let name = if stem == "manifest" { "mlpack.lock".to_owned() } else { format!("{stem}.lock") };
    manifest.root.join(name)
}

fn beside(platform: Platform) -> PathBuf {
    let folder = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    if Some(platform) == Platform::host() {
        folder.join("mlpack-server")
    } else {
        folder.join(format!("mlpack-server-{}", platform.machine()))
    }
}

/// The environment that the Python index's own tools are found and configured by. Their names are UTF-8; others are passed
/// over.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    const PREFIXES: [&str; 5] = ["UV_", "PIP_", "NETRC", "HOME", "XDG_CONFIG"];
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name == "PATH" || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect()
}

/// The manifest does not build for this machine.
#[derive(Debug, thiserror::Error)]
#[error("the manifest's platforms do not have the one of this machine")]
struct HostError;

impl Diagnose for HostError {
    fn exit(&self) -> Exit {
        Exit::CannotRun
    }

    fn hints(&self) -> Vec<String> {
        vec!["add `--platform` with this machine's platform".to_owned()]
    }
}

/// `SOURCE_DATE_EPOCH` is set to something that is not a number of seconds.
#[derive(Debug, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is `{0}`, not a number of seconds since 1970")]
struct EpochError(String);

impl Diagnose for EpochError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

fn source_date_epoch() -> Result<Option<i64>> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if (0..=253_402_300_799).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(EpochError(text).into()),
    }
}

/// Writes the lock with a new record of the built image, if it differs.
pub(super) fn record(
    lock: &mut Lock,
    platform: Platform,
    path: &Path,
    change: impl FnOnce(&mut PlatformLock),
) -> Result<(), LockError> {
    let before = lock.clone();
    if let Some(locked) = lock.platforms.get_mut(&platform) {
        change(locked);
    }
    if *lock == before { Ok(()) } else { lock.merge_into(path, &[platform]) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn any_environment_can_be_read() {
        let text = |text: &[u8]| OsString::from_vec(text.to_vec());
        let variables =
            [(&b"PATH"[..], &b"/a\xff:/bin"[..]), (b"UV_INDEX", b"x"), (b"UV_\xff", b"x"), (b"LANG", b"\xff")];
        let found = environment(variables.into_iter().map(|(name, value)| (text(name), text(value))));
        let expected = [("PATH", "/a\u{fffd}:/bin"), ("UV_INDEX", "x")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
