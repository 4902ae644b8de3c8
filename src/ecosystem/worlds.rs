//! The packaging worlds of one build, opened for its platform, and the caches that they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::debian::configure;
use super::debian::sources::{APT_FOLDER, Configured};
use super::debian::{Archive, Debs, Mirrors, Pool};
use super::pypi::{self, Requirements, Wheels};
use super::{Ecosystem, cran};
use crate::digest::Digest;
use crate::elf::{self, Object};
use crate::error::{Error, Result};
use crate::event::Report;
use crate::fetch::derived::Derived;
use crate::fetch::http::Http;
use crate::fetch::{Blob, BlobStore, Home, pack};
use crate::fs;
use crate::layer::tree::{Tree, TreePath};
use crate::lock::{Package, PackageKind, Release};
use crate::manifest::{Manifest, Packages, Scripts};
use crate::platform::Platform;
use crate::runtime::Runtime;
use crate::sandbox::layout;
use crate::vendor::Vendored;

/// Files that are fetched at a time: enough to keep a mirror busy, few enough to be welcome there.
const DOWNLOADS: usize = 8;

/// What the user configured of the worlds, by options and environment.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Debian's mirrors and further keys.
    pub debian: Configured,
    /// The environment by which uv and pip are configured.
    pub environment: BTreeMap<String, String>,
    /// The user's own uv, where the pinned one is not wanted.
    pub uv: Option<PathBuf>,
    /// Addresses of R's repositories, by name.
    pub r_repositories: Vec<(String, String)>,
    /// Inputs that are taken from where they were vendored, not from mirrors.
    pub vendored: Option<Arc<Vendored>>,
}

/// The language's packages that a manifest asks for.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Those for the image.
    pub packages: Vec<Package>,
    /// Those of which compiling others needs the headers alone.
    pub headers: Vec<Package>,
}

/// A package with its files.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The package as locked.
    pub package: Package,
    /// The files that it installs.
    pub tree: Tree,
}

/// The packaging worlds, for one platform.
pub struct Worlds {
    platform: Platform,
    http: Http,
    blobs: BlobStore,
    derived: Derived,
    source: Source,
    wheels: Option<Wheels>,
    r_packages: cran::RPackages,
    debs: Debs,
    vendored: Option<Arc<Vendored>>,
}

/// Where the Debian archive is.
#[derive(Clone)]
struct Source {
    home: Home,
    http: Http,
    mirrors: Mirrors,
    suite: String,
    further: Vec<String>,
    platform: Platform,
}

impl Worlds {
    /// Opens the worlds that the runtime needs. Nothing is fetched yet.
    pub fn new(
        home: &Home,
        http: &Http,
        settings: &Settings,
        manifest: &Manifest,
        runtime: &Runtime,
        platform: Platform,
    ) -> Result<Self> {
        let (blobs, derived) = (home.blobs()?, home.derived());
        let mirrors = Mirrors::find(&settings.debian, APT_FOLDER.as_ref())?;
        let pool = Pool::new(mirrors.clone(), blobs.clone(), http.clone());
        let debs = Debs::new(pool, blobs.clone(), derived.clone(), platform);
        let (suite, further) = (runtime.suite.clone(), manifest.system.suites.clone());
        let source = Source { home: home.clone(), http: http.clone(), mirrors, suite, further, platform };
        let wheels = match runtime.language.as_str() {
            "python" => {
                let (source, debs) = (source.clone(), debs.clone());
                let pip_wheel = Box::new(move || source.pip_wheel(&debs));
                let target = (runtime.version.parse()?, platform);
                Some(Wheels::new(home, http, settings.python(manifest), target, settings.uv.clone(), pip_wheel)?)
            }
            _ => None,
        };
        let r_packages = cran::RPackages::new(home, http, manifest, &settings.r_repositories)?;
        let vendored = settings.vendored.clone();
        Ok(Self { platform, http: http.clone(), blobs, derived, source, wheels, r_packages, debs, vendored })
    }

    /// Opens the Debian archive; `known` is what a lock that is replaced says of it.
    pub fn archive(&self, known: &[Release]) -> Result<Archive> {
        self.source.archive(known)
    }

    /// Chooses the language's packages that the manifest asks for.
    pub fn resolve_language(&self, manifest: &Manifest, archive: &Archive) -> Result<Chosen> {
        let Some(wheels) = &self.wheels else { return self.resolve_r(manifest, archive) };
        let requirements = match &manifest.runtime.packages {
            Packages::None => return Ok(Chosen::default()),
            Packages::List(list) => Requirements::List(list.clone()),
            Packages::File(path) => Requirements::File(path.clone()),
        };
        let packages = wheels.resolve(&requirements, &manifest.root, glibc(archive))?;
        Ok(Chosen { packages, headers: Vec::new() })
    }

    fn resolve_r(&self, manifest: &Manifest, archive: &Archive) -> Result<Chosen> {
        let library = cran::Library::new(
            (archive, &self.debs),
            (&self.source.suite, self.platform),
            self.r_packages.repositories()?,
            (&self.blobs, &self.derived),
            &self.http,
        );
        let cran::Resolution { packages, headers } =
            cran::resolve(&library, &cran::wanted(&manifest.runtime.packages)?)?;
        Ok(Chosen { packages, headers })
    }

    /// Fetches packages' files, several at a time, in the order given.
    pub fn fetch(&self, packages: &[Package]) -> Result<Vec<Blob>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(DOWNLOADS).build().expect("threads can be started");
        pool.install(|| packages.par_iter().map(|package| self.file(package)).collect())
    }

    /// Returns a package's file: from the cache, from where it was vendored, or from its mirror or index.
    fn file(&self, package: &Package) -> Result<Blob> {
        if let Some(vendored) = &self.vendored
            && self.blobs.get(&package.sha256)?.is_none()
            && let Some(blob) = vendored.fetch(&self.blobs, package.sha256, package.size)?
        {
            return Ok(blob);
        }
        self.world(package.kind)?.fetch(package)
    }

    /// Returns packages with their files, in the order given. What was not unpacked before is fetched and unpacked, several
    /// at a time.
    pub fn unpack(&self, packages: &[Package]) -> Result<Vec<Unpacked>> {
        self.unpack_unless(packages, pack::is_there)
    }

    /// The same, and whatever the content store has of them is read and found undamaged.
    pub fn unpack_whole(&self, packages: &[Package]) -> Result<Vec<Unpacked>> {
        self.unpack_unless(packages, pack::is_whole)
    }

    /// Unpacks those packages of which no tree is known that `is_kept` by the content store.
    fn unpack_unless(
        &self,
        packages: &[Package],
        is_kept: impl Fn(&BlobStore, &Tree) -> fs::Result<bool> + Sync,
    ) -> Result<Vec<Unpacked>> {
        let known = |package: &Package| match self.world(package.kind)?.known(package)? {
            Some(tree) if is_kept(&self.blobs, &tree)? => Ok(Some(tree)),
            _ => Ok::<_, Error>(None),
        };
        let known: Vec<Option<Tree>> = packages.par_iter().map(known).collect::<Result<_>>()?;
        let absent = packages.iter().zip(&known).filter(|(_, tree)| tree.is_none());
        let absent: Vec<Package> = absent.map(|(package, _)| package.clone()).collect();
        let blobs = self.fetch(&absent)?;
        let unpack = |(package, blob): (&Package, _)| self.world(package.kind)?.unpack(package, blob);
        let trees: Vec<Tree> = absent.par_iter().zip(&blobs).map(unpack).collect::<Result<_>>()?;
        let mut trees = trees.into_iter();
        let unpacked = |(package, known): (&Package, Option<Tree>)| {
            let tree = known.or_else(|| trees.next()).expect("what is not known was unpacked");
            Unpacked { package: package.clone(), tree }
        };
        Ok(packages.iter().zip(known).map(unpacked).collect())
    }

    /// Returns what the maintainer scripts of the unpacked Debian packages would make; `user` is the account's number.
    pub fn configure(&self, unpacked: &[Unpacked], user: u32, scripts: Scripts) -> Result<configure::Configured> {
        let debs = unpacked.par_iter().filter(|unpacked| unpacked.package.kind == PackageKind::Deb);
        let debs: Vec<_> =
            debs.map(|deb| Ok((deb.package.clone(), self.debs.open(&deb.package)?))).collect::<Result<_>>()?;
        let denies_scripts = scripts == Scripts::Deny;
        let settings = configure::Settings { platform: self.platform, user, denies_scripts };
        Ok(configure::configure(&debs, &self.blobs, &settings)?)
    }

    /// Returns the ELF objects of a tree.
    pub fn scan(&self, tree: &Tree) -> Result<Vec<(TreePath, Object)>> {
        elf::scan(&self.blobs, &self.derived, tree)
    }

    /// The R packages that are not Debian's.
    pub fn r_packages(&self) -> &cran::RPackages {
        &self.r_packages
    }

    /// Returns the folder with the tree that `key` stands for, laid out on disk where it is not yet.
    pub fn lay_out(&self, key: &Digest, tree: &Tree) -> Result<PathBuf> {
        Ok(layout::cached(&self.source.home.trees(), key, &self.blobs, tree)?)
    }

    /// The folder for logs.
    pub fn logs(&self) -> PathBuf {
        self.source.home.cache().join("logs")
    }

    /// The platform that the worlds are opened for.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The store of downloads and unpacked packages.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// The store of values derived from blobs.
    pub fn derived(&self) -> &Derived {
        &self.derived
    }

    /// Receives events.
    pub fn report(&self) -> &Arc<dyn Report> {
        self.http.report()
    }

    fn world(&self, kind: PackageKind) -> Result<&dyn Ecosystem> {
        match (kind, &self.wheels) {
            (PackageKind::Deb, _) => Ok(&self.debs),
            (PackageKind::Wheel, Some(wheels)) => Ok(wheels),
            (PackageKind::R, None) => Ok(&self.r_packages),
            _ => Err(WorldError { kind }.into()),
        }
    }
}

impl Source {
    fn archive(&self, known: &[Release]) -> Result<Archive> {
        Archive::open(&self.suite, &self.further, self.platform, &self.mirrors, &self.home, &self.http, known)
    }

    /// Returns pip's wheel from Debian's package of it: where neither the user nor an installed pip says what the Python
    /// index is, its default does.
    fn pip_wheel(&self, debs: &Debs) -> Result<Vec<u8>> {
        Ok(debs.file(&self.archive(&[])?, "python3-pip-whl", ".whl")?.unwrap_or_default())
    }
}

/// Returns the minor version of the release's C library: 36 for 2.36.
fn glibc(archive: &Archive) -> u32 {
    let version = archive.catalog().candidate("libc6").map(|record| record.version.to_owned()).unwrap_or_default();
    let minor =
        version.strip_prefix("2.").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    // What manylinux_2_17 wheels need runs everywhere.
    minor.unwrap_or(17)
}

impl Settings {
    fn python(&self, manifest: &Manifest) -> pypi::Settings {
        pypi::Settings {
            environment: self.environment.clone(),
            root: "/".into(),
            project: Some(manifest.root.clone()),
            requirements: match &manifest.runtime.packages {
                Packages::File(path) => Some(path.clone()),
                _ => None,
            },
        }
    }
}

/// A lock has packages that its runtime cannot have.
#[derive(Debug, thiserror::Error)]
#[error("the lock has packages of kind {kind:?}, which the manifest's runtime does not use")]
struct WorldError {
    kind: PackageKind,
}

impl crate::error::Diagnose for WorldError {
    fn exit(&self) -> crate::error::Exit {
        crate::error::Exit::Manifest
    }
}
