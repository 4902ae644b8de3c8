//! The pinned program: fetched once as a wheel, checked whenever it is used.

use std::io::Write as _;
use std::path::Path;

use super::{Uv, UvError};
use crate::digest::Digest;
use crate::ecosystem::pypi::index::Indexes;
use crate::ecosystem::pypi::simple;
use crate::ecosystem::pypi::zip::Archive;
use crate::fetch::Blob;
use crate::fetch::home::Home;
use crate::fetch::http::Http;
use crate::fs;
use crate::lock::{Package, PackageKind};
use crate::platform::{Architecture, Platform};

/// The version of uv that mlpack uses.
pub const VERSION: &str = "0.13.9";

const ENTRY: &str = "uv-0.13.9.data/scripts/uv";
const MAX_PROGRAM: u64 = 128 << 20;

/// A wheel of uv and the program in it.
struct Pin {
    file: &'static str,
    size: u64,
    sha256: &'static str,
    program: &'static str,
}

const AMD64: Pin = Pin {
    file: "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    size: 17_606_939,
    sha256: "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    program: "b73acdf73b96c3ac9e56d2fa933427b3ee6a901e3cce6ba1e3ecb3f91ca0d86a",
};
const ARM64: Pin = Pin {
    file: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
    size: 18_026_789,
    sha256: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    program: "bbecb5ac518030bb5e84f1999c577228460192832ac24a92bd772735682979f4",
};

impl Uv {
    /// Returns the pinned uv for this machine, and fetches it where it is not there yet.
    pub fn pinned(home: &Home, indexes: &Indexes, http: &Http) -> Result<Self, UvError> {
        let pin = match Platform::host().ok_or(UvError::Host)?.architecture {
            Architecture::Amd64 => &AMD64,
            Architecture::Arm64 => &ARM64,
        };
        let program = home.cache().join(format!("tools/uv-{VERSION}/uv"));
        let expected = digest(pin.program);
        // Checked each time: it is about to be run.
        if !fs::read(&program).is_ok_and(|bytes| Digest::of(&bytes) == expected) {
            let wheel = simple::fetch(&pin.package(), None, indexes, &home.blobs()?, http);
            let bytes = extract(&wheel.map_err(|error| UvError::Fetch(Box::new(error)))?)?;
            if Digest::of(&bytes) != expected {
                return Err(UvError::Program);
            }
            install(&program, &bytes)?;
        }
        Ok(Self::own(&program, home.cache()))
    }
}

impl Pin {
    fn package(&self) -> Package {
        Package {
            kind: PackageKind::Wheel,
            name: "uv".to_owned(),
            version: VERSION.to_owned(),
            architecture: None,
            source: None,
            release: None,
            path: self.file.to_owned(),
            size: self.size,
            sha256: digest(self.sha256),
            reasons: Vec::new(),
        }
    }
}

fn digest(hex: &str) -> Digest {
    Digest::from_hex(hex).expect("the pinned digests are well formed")
}

fn extract(wheel: &Blob) -> Result<Vec<u8>, UvError> {
    let archive = Archive::open(wheel.open()?).map_err(|_| UvError::Program)?;
    let entry = archive.find(ENTRY).ok_or(UvError::Program)?;
    archive.read(entry, MAX_PROGRAM).map_err(|_| UvError::Program)
}

/// Puts the program in place in one step, with its mode: another mlpack may be about to run it.
fn install(program: &Path, bytes: &[u8]) -> Result<(), fs::Error> {
    let folder = program.parent().expect("the program's path has a folder");
    fs::create_dir_all(folder)?;
    let wrap = || fs::Error::wrap("write", program);
    let mut file = tempfile::Builder::new().prefix(".uv-").tempfile_in(folder).map_err(wrap())?;
    file.write_all(bytes).map_err(wrap())?;
    fs::set_mode(file.path(), 0o755)?;
    let path = file.into_temp_path();
    path.persist(program).map_err(|error| wrap()(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::pypi::name::WheelName;

    #[test]
    fn the_pins_agree_with_the_version() {
        for (pin, platform) in [(AMD64, "linux/amd64"), (ARM64, "linux/arm64")] {
            let wheel = WheelName::parse(pin.file).unwrap();
            assert!(wheel.fits(&"3.11".parse().unwrap(), platform.parse().unwrap()));
            assert_eq!((wheel.version.as_str(), pin.package().sha256.hex()), (VERSION, pin.sha256.to_owned()));
            assert_ne!(digest(pin.program), digest(pin.sha256));
        }
        assert!(ENTRY.contains(VERSION));
    }
}
