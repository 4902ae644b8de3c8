//! How Debian names the packages of libraries (library packaging guide, and policy section 8.1).
//!
//! `libssl.so.3` is in `libssl3`, `libX11.so.6` in `libx11-6`, `libdb-5.3.so` in `libdb5.3`. A name proves nothing: whoever
//! asks looks into the package.

/// The packages that were renamed for 64-bit times have this ending.
const TIME64: &str = "t64";

/// The longest ending that is taken for one without meaning, such as `g` in `libaudit1g` or `-turbo`.
const LONGEST_ENDING: usize = 6;

/// Returns how far a package's name is from what the package of a library would be called: 0 for that very name, `None`
/// where it is no such name at all.
///
/// Case and punctuation do not count, nor does the ending of a change of interface. Where the library's version has more
/// parts than the package's name, the first ones will do: `libpython3.13.so.1.0` is in `libpython3.13`.
pub fn distance(package: &str, soname: &str) -> Option<usize> {
    let (stem, version) = soname.split_once(".so")?;
    let parts: Vec<&str> = version.split('.').filter(|part| !part.is_empty()).collect();
    let package = canonical(package.strip_suffix(TIME64).unwrap_or(package));
    let stem = canonical(stem);
    let rest = package.strip_prefix(&stem)?;
    (0..=parts.len()).find_map(|left_out| {
        let ending = rest.strip_prefix(&canonical(&parts[..parts.len() - left_out].concat()))?;
        let longest = if left_out == 0 { LONGEST_ENDING } else { 0 };
        let meaningless = ending.len() <= longest && ending.bytes().all(|byte| byte.is_ascii_lowercase());
        meaningless.then_some(left_out * (LONGEST_ENDING + 1) + ending.len())
    })
}

fn canonical(name: &str) -> String {
    let counts = |c: &char| c.is_ascii_alphanumeric() || *c == '+';
    name.chars().filter(counts).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_after_libraries() {
        let names = [
            ("libblas.so.3", "libblas3"),
            ("libssl.so.1.1", "libssl1.1"),
            ("libX11.so.6", "libx11-6"),
            ("libdb-5.3.so", "libdb5.3t64"),
            ("libglib-2.0.so.0", "libglib2.0-0t64"),
            ("libgcc_s.so.1", "libgcc-s1"),
            ("libstdc++.so.6", "libstdc++6"),
            ("libpcre2-8.so.0", "libpcre2-8-0"),
            ("libGL.so", "libgl"),
        ];
        for (soname, package) in names {
            assert_eq!(distance(package, soname), Some(0), "{soname}");
        }
    }

    #[test]
    fn near_names_come_after_the_very_one() {
        assert_eq!(distance("libharfbuzz0b", "libharfbuzz.so.0"), Some(1));
        assert_eq!(distance("libjpeg62-turbo", "libjpeg.so.62"), Some(5));
        assert!(
            distance("libpython3.13", "libpython3.13.so.1.0") > distance("libpython3.13-1.0", "libpython3.13.so.1.0")
        );
    }

    #[test]
    fn other_libraries_and_other_versions_are_not_near() {
        for (package, soname) in
            [("libssl3", "libssl.so.1.1"), ("libdb5.3++", "libdb-5.3.so"), ("libx11-xcb1", "libX11.so.6")]
        {
            assert_eq!(distance(package, soname), None, "{soname}");
        }
        assert_eq!(distance("x", "x"), None);
    }
}
