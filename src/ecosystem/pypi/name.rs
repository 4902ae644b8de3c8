//! Names of packages and of wheel files, and whether a wheel fits an interpreter and a platform.
//!
//! Follows the packaging specifications "Names and normalization" and "Binary distribution format". It does not order
//! versions or weigh tags against each other: `uv` chooses.

use super::Python;
use crate::platform::Platform;

/// Returns a package's name in its normal form: lower case, with runs of `-`, `_` and `.` as one `-`.
pub fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            _ => normal.push(character.to_ascii_lowercase()),
        }
    }
    normal
}

/// Whether a text may be a package's name.
pub fn is_valid(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    edge(name.as_bytes().first()) && edge(name.as_bytes().last()) && name.bytes().all(inner)
}

/// Whether two spellings mean the same version, such as `1.0` and `1.00.0`.
pub fn same_version(first: &str, second: &str) -> bool {
    let parts = |version: &str| {
        let version = version.to_ascii_lowercase().replace(['-', '_'], ".");
        let mut parts: Vec<String> = version
            .trim_start_matches('v')
            .split(['.', '+'])
            .map(|part| if part.len() > 1 { part.trim_start_matches('0').to_owned() } else { part.to_owned() })
            .map(|part| if part.is_empty() { "0".to_owned() } else { part })
            .collect();
        while parts.len() > 1 && parts.last().is_some_and(|part| part == "0") {
            parts.pop();
        }
        parts
    };
    parts(first) == parts(second)
}

/// The parts of a wheel's file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The package's name, in its normal form.
    pub name: String,
    /// The version, as written.
    pub version: String,
    python_tags: Vec<String>,
    abi_tags: Vec<String>,
    platform_tags: Vec<String>,
}

impl WheelName {
    /// Reads `name-version(-build)-python-abi-platform.whl`; `None` where the name has another form.
    pub fn parse(file_name: &str) -> Option<Self> {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'!');
        if !file_name.bytes().all(safe) {
            return None;
        }
        let parts: Vec<_> = file_name.strip_suffix(".whl")?.split('-').collect();
        if !(5..=6).contains(&parts.len()) || !is_valid(parts[0]) || parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let tags = |from_end: usize| parts[parts.len() - from_end].split('.').map(str::to_owned).collect();
        Some(Self {
            name: normalise(parts[0]),
            version: parts[1].to_owned(),
            python_tags: tags(3),
            abi_tags: tags(2),
            platform_tags: tags(1),
        })
    }

    /// Returns how specific the wheel is: of several that fit, the highest is the best.
    pub fn rank(&self) -> u32 {
        let has = |tags: &[String], tag: &str| tags.iter().any(|found| found == tag);
        let abi = if has(&self.abi_tags, "none") { 0 } else { 2 + u32::from(!has(&self.abi_tags, "abi3")) };
        abi * 2 + u32::from(!has(&self.platform_tags, "any"))
    }

    /// Whether the wheel can be installed for CPython of that version on Linux with the GNU C library.
    pub fn fits(&self, python: &Python, platform: Platform) -> bool {
        self.platform_tags.iter().any(|tag| fits_platform(tag, platform))
            && self.abi_tags.iter().any(|abi| self.python_tags.iter().any(|tag| fits_python(tag, abi, python)))
    }
}

fn fits_platform(tag: &str, platform: Platform) -> bool {
    let system = tag.strip_suffix(platform.machine()).and_then(|system| system.strip_suffix('_'));
    tag == "any" || system.is_some_and(|system| system == "linux" || system.starts_with("manylinux"))
}

fn fits_python(tag: &str, abi: &str, python: &Python) -> bool {
    let minor = |prefix: &str| tag.strip_prefix(prefix).and_then(|minor| minor.parse::<u32>().ok());
    let own = minor("cp3") == Some(python.minor());
    match abi {
        "none" => tag == "py3" || tag == "cp3" || own || minor("py3").is_some_and(|minor| minor <= python.minor()),
        "abi3" => minor("cp3").is_some_and(|minor| minor <= python.minor()),
        _ => own && abi == format!("cp3{}", python.minor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        assert_eq!(normalise("Foo__Bar.-baz"), "foo-bar-baz");
        assert!(is_valid("a.b-c_d") && !is_valid("-a") && !is_valid("a/b") && !is_valid(""));
    }

    #[test]
    fn versions_are_compared_by_meaning() {
        assert!(same_version("1.0", "1.0.0") && same_version("2024.01.05", "2024.1.5"));
        assert!(same_version("1.0+cpu", "1.0+CPU") && same_version("v1", "1"));
        assert!(!same_version("1.0", "1.0.1") && !same_version("1.0", "10"));
    }

    #[test]
    fn wheels_fit_or_not() {
        let python: Python = "3.11".parse().unwrap();
        let platform: Platform = "linux/amd64".parse().unwrap();
        let fits = |tags: &str| WheelName::parse(&format!("x-1-{tags}.whl")).unwrap().fits(&python, platform);
        for tags in [
            "py3-none-any",
            "py2.py3-none-any",
            "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp38-abi3-manylinux2014_x86_64",
            "1build-cp311-cp311-linux_x86_64",
            "py3-none-manylinux_2_27_x86_64",
        ] {
            assert!(fits(tags), "{tags}");
        }
        for tags in [
            "cp310-cp310-manylinux2014_x86_64",
            "cp312-abi3-manylinux2014_x86_64",
            "cp311-cp311-musllinux_1_2_x86_64",
            "cp311-cp311-manylinux2014_aarch64",
            "cp311-cp311-macosx_11_0_x86_64",
            "cp311-cp311t-manylinux2014_x86_64",
            "py2-none-any",
        ] {
            assert!(!fits(tags), "{tags}");
        }
    }

    #[test]
    fn other_file_names_are_no_wheels() {
        for name in ["x-1.tar.gz", "x-1-py3-none.whl", "../x-1-py3-none-any.whl", "x--py3-none-any.whl"] {
            assert_eq!(WheelName::parse(name), None, "{name}");
        }
    }
}
