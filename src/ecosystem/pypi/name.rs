//! Names of packages and of wheel files, and whether a wheel fits an interpreter and a platform.
//!
//! Follows the packaging specifications "Names and normalization", "Binary distribution format" and "Platform compatibility
//! tags". It does not order versions: `uv` chooses. Tags are weighed for locks that a user brings.

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
    build: u64,
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
            build: if parts.len() == 6 { leading_number(parts[2]) } else { 0 },
            python_tags: tags(3),
            abi_tags: tags(2),
            platform_tags: tags(1),
        })
    }

    /// Returns how well the wheel fits CPython of that version on Linux with version 2.`glibc` of the GNU C library; `None`
    /// where it cannot be installed there. Of several the highest is the best, as pip has it.
    pub fn rank(&self, python: &Python, platform: Platform, glibc: u32) -> Option<Rank> {
        let system = self.platform_tags.iter().filter_map(|tag| system(tag, platform, glibc)).max()?;
        let codes = self.abi_tags.iter().flat_map(|abi| self.python_tags.iter().map(move |tag| (tag, abi)));
        let (abi, minor) = codes.filter_map(|(tag, abi)| code(tag, abi, python)).max()?;
        Some(Rank { abi, is_native: system > System::Any, minor, system, build: self.build })
    }

    /// Whether the wheel can be installed for CPython of that version on some Linux with the GNU C library.
    pub fn fits(&self, python: &Python, platform: Platform) -> bool {
        self.rank(python, platform, u32::MAX).is_some()
    }
}

/// How well a wheel fits, what counts most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    abi: Abi,
    is_native: bool,
    /// The minor version of Python that it was made for; 0 for any.
    minor: u32,
    system: System,
    build: u64,
}

/// The interpreters that a wheel's compiled code is for, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Abi {
    None,
    Stable,
    Own,
}

/// The systems that a wheel is for, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    Any,
    Linux,
    /// Those with this minor version of the C library, or a newer one.
    Glibc(u32),
}

fn system(tag: &str, platform: Platform, glibc: u32) -> Option<System> {
    if tag == "any" {
        return Some(System::Any);
    }
    let least = match tag.strip_suffix(platform.machine())?.strip_suffix('_')? {
        "linux" => return Some(System::Linux),
        "manylinux1" => 5,
        "manylinux2010" => 12,
        "manylinux2014" => 17,
        other => other.strip_prefix("manylinux_2_")?.parse().ok()?,
    };
    (least <= glibc).then_some(System::Glibc(least))
}

fn code(tag: &str, abi: &str, python: &Python) -> Option<(Abi, u32)> {
    let minor = |prefix: &str| tag.strip_prefix(prefix)?.parse::<u32>().ok().filter(|minor| *minor <= python.minor());
    let own = minor("cp3").filter(|minor| *minor == python.minor());
    match abi {
        "none" if tag == "py3" || tag == "cp3" => Some((Abi::None, 0)),
        "none" => own.or_else(|| minor("py3")).map(|minor| (Abi::None, minor)),
        "abi3" => minor("cp3").map(|minor| (Abi::Stable, minor)),
        _ => own.filter(|minor| abi == format!("cp3{minor}")).map(|minor| (Abi::Own, minor)),
    }
}

/// Returns the number that a build tag begins with.
fn leading_number(text: &str) -> u64 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
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
    fn wheels_are_ranked_by_numbers_and_the_c_library() {
        let rank = |tags: &str| {
            let wheel = WheelName::parse(&format!("x-1-{tags}.whl")).unwrap();
            wheel.rank(&"3.11".parse().unwrap(), "linux/amd64".parse().unwrap(), 36)
        };
        let ordered = [
            "py3-none-any",
            "py39-none-any",
            "py311-none-any",
            "py3-none-linux_x86_64",
            "py3-none-manylinux1_x86_64",
            "py3-none-manylinux2014_x86_64.manylinux_2_28_x86_64",
            "cp38-abi3-manylinux_2_28_x86_64",
            "cp311-abi3-manylinux_2_5_x86_64",
            "cp311-abi3-manylinux_2_17_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux_2_36_x86_64",
            "2-cp311-cp311-manylinux_2_36_x86_64",
            "10a-cp311-cp311-manylinux_2_36_x86_64",
        ];
        let ranks = ordered.map(|tags| rank(tags).unwrap());
        for (pair, tags) in ranks.windows(2).zip(ordered.windows(2)) {
            assert!(pair[0] < pair[1], "{tags:?}");
        }
        assert_eq!(rank("cp311-cp311-manylinux_2_39_x86_64"), None);
        assert_eq!(
            rank("cp311-cp311-manylinux_2_39_x86_64.manylinux_2_17_x86_64"),
            rank("cp311-cp311-manylinux2014_x86_64")
        );
    }

    #[test]
    fn other_file_names_are_no_wheels() {
        for name in ["x-1.tar.gz", "x-1-py3-none.whl", "../x-1-py3-none-any.whl", "x--py3-none-any.whl"] {
            assert_eq!(WheelName::parse(name), None, "{name}");
        }
    }
}
