//! Which of Debian's packages compiling an R package needs.
//!
//! Debian's own source package of it says that best, in `Build-Depends`; `SystemRequirements` says it in prose, which a
//! table of words turns into names. What both miss is for the manifest's `system.build` to say.

use serde::Deserialize;

use super::Description;

/// What words stand for, see there.
const TABLE: &str = include_str!("system-requirements.toml");

/// What every compilation has: the compilers that R was built with, the tool that finds libraries, and the programs that
/// Debian's packages take for granted.
pub const TOOLCHAIN: [&str; 20] = [
    "r-base-dev",
    "pkg-config",
    "base-files",
    "base-passwd",
    "bash",
    "bzip2",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mawk",
    "perl-base",
    "sed",
    "tar",
    "xz-utils",
];

/// What Build-Depends may name that is no `-dev` package and yet does the compiling; the rest is for making Debian's packages.
const TOOLS: [&str; 9] =
    ["autoconf", "automake", "cargo", "cmake", "default-jdk", "jags", "libtool", "protobuf-compiler", "rustc"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    words: Vec<String>,
    packages: Vec<String>,
}

/// Returns what `SystemRequirements` stand for, sorted.
pub fn required(description: &Description) -> Vec<String> {
    #[derive(Deserialize)]
    struct Table {
        rule: Vec<Rule>,
    }
    let table: Table = toml::from_str(TABLE).expect("the table is a constant that a test reads");
    let Some(prose) = description.field("SystemRequirements") else { return Vec::new() };
    let prose = prose.to_ascii_lowercase();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    // A dot that ends a sentence is no part of its last word.
    let words: Vec<&str> = prose.split(|c| !is_part(c)).map(|word| word.trim_end_matches(['.', '-'])).collect();
    let applies = |rule: &Rule| {
        rule.words
            .iter()
            .any(|known| words.iter().any(|word| word == known || word.strip_suffix("-dev") == Some(known)))
    };
    let mut packages: Vec<_> = table.rule.into_iter().filter(applies).flat_map(|rule| rule.packages).collect();
    packages.sort();
    packages.dedup();
    packages
}

/// Whether a package of Debian's Build-Depends is one that compiles rather than packs.
pub fn compiles(name: &str) -> bool {
    (name.ends_with("-dev") && !name.starts_with("r-")) || TOOLS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(prose: &str) -> Vec<String> {
        required(&Description::parse(&format!("Package: x\nSystemRequirements: {prose}\n")).unwrap())
    }

    #[test]
    fn each_word_is_in_one_rule() {
        let words = TABLE.lines().filter_map(|line| line.strip_prefix("words = [")?.strip_suffix(']'));
        let mut words: Vec<&str> = words.flat_map(|list| list.split(", ")).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        assert!(count > 100);
    }

    #[test]
    fn prose_is_read_by_its_words() {
        assert_eq!(packages("libxml2: libxml2-dev (deb), libxml2-devel (rpm)"), ["libxml2-dev"]);
        let sf = "GDAL (>= 2.0.1), GEOS (>= 3.4.0),\n    PROJ (>= 4.8.0), sqlite3";
        assert_eq!(packages(sf), ["libgdal-dev", "libgeos-dev", "libproj-dev", "libsqlite3-dev"]);
        assert_eq!(packages("GNU make, C++17, project"), Vec::<String>::new());
        assert_eq!(packages("Needs ImageMagick."), ["libmagick++-dev"]);
    }

    #[test]
    fn what_packs_is_left_out() {
        let names = ["debhelper-compat", "dh-r", "r-base-dev", "r-cran-rcpp", "libxml2-dev", "cmake", "pandoc"];
        assert_eq!(names.into_iter().filter(|name| compiles(name)).collect::<Vec<_>>(), ["libxml2-dev", "cmake"]);
    }
}
