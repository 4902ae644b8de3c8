//! What a compiler's output says of a failure: the lines that matter, what is missing, and which package has it.

use std::path::Path;

use super::error::{CompileError, Failure, Lack};
use crate::ecosystem::cran::install;
use crate::ecosystem::debian::Archive;
use crate::error::Error;
use crate::lock::Package;
use crate::manifest::Manifest;

/// How many lines are shown.
const LINES: usize = 12;

/// What lines that tell why have in them.
const MARKS: [&str; 8] = [
    "fatal error:",
    " error:",
    "ERROR:",
    "Error in ",
    "Error: ",
    "cannot find -l",
    "undefined reference",
    "unable to load shared object",
];

/// Returns the first line that compiles for the processor at hand.
pub(super) fn native(output: &str) -> Option<String> {
    let is_compiler = |line: &&str| line.contains(" -c ") || line.contains(" -shared ");
    let asks = |line: &&str| install::NATIVE.iter().any(|option| line.split(' ').any(|word| word == *option));
    output.lines().filter(is_compiler).find(asks).map(str::to_owned)
}

/// Returns the failure that an output tells of; `native` is the line that makes it one of ours.
pub(super) fn of(package: &Package, output: &str, native: Option<String>, log: &Path) -> Failure {
    let mut hints = Vec::new();
    let lines = match native {
        Some(line) => {
            hints.push(
                "it compiles for this machine's processor alone, so the image would not be the same elsewhere, nor run: use \
                 another version, or a repository with a source that does not"
                    .to_owned(),
            );
            vec![line]
        }
        None => lines(output),
    };
    let package = format!("{} {}", package.name, package.version);
    Failure { package, lines, lacks: lacks(output), log: log.to_owned(), hints }
}

/// Returns the lines that tell why, else the last ones.
fn lines(output: &str) -> Vec<String> {
    let all: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut found: Vec<&str> =
        all.iter().copied().filter(|line| MARKS.iter().any(|mark| line.contains(mark))).take(LINES).collect();
    if found.len() < 3 {
        found = all[all.len().saturating_sub(LINES)..].to_vec();
    }
    found.into_iter().map(|line| line.chars().take(300).collect()).collect()
}

/// Returns what an output says is missing, sorted.
fn lacks(output: &str) -> Vec<Lack> {
    let mut lacks: Vec<_> = output.lines().filter_map(lack).collect();
    lacks.sort();
    lacks.dedup();
    lacks
}

fn lack(line: &str) -> Option<Lack> {
    let between = |start: &str, end: &str| {
        let (_, rest) = line.split_once(start)?;
        let (word, _) = rest.split_once(end)?;
        (!word.is_empty() && !word.contains(' ')).then(|| word.to_owned())
    };
    let header = || between("fatal error: ", ": No such file").map(Lack::Header);
    let library = || {
        let (_, rest) = line.split_once("cannot find -l")?;
        Some(Lack::Library(rest.split([':', ' ']).next()?.to_owned()))
    };
    let module =
        || between("Package ", " was not found in the pkg-config").or_else(|| between("No package '", "' found"));
    // What many packages' own configure scripts say.
    let named = || between("* deb: ", " ").map(Lack::Package);
    header().or_else(library).or_else(|| module().map(Lack::Module)).or_else(named)
}

/// Adds to compilers' failures which packages have what they lack, and what to write into the manifest.
pub(super) fn explain(error: CompileError, manifest: &Manifest, archive: &Archive) -> Error {
    let CompileError::Failed { mut failures } = error else { return error.into_error() };
    let file = manifest.path.file_name().unwrap_or_default().to_string_lossy();
    for failure in &mut failures {
        for lack in &failure.lacks {
            // The archive's lists are a help, not a need: a mirror without them is no reason to hide the failure.
            let packages = owners(lack, archive).unwrap_or_default();
            if let Some(package) = packages.first() {
                let hint = format!("{} is in `{package}`: add it to `system.build` of `{file}`", lack.what());
                failure.hints.push(hint);
            }
        }
        failure.hints.dedup();
    }
    CompileError::Failed { failures }.into()
}

impl Lack {
    fn what(&self) -> String {
        match self {
            Self::Header(name) => format!("the header `{name}`"),
            Self::Library(name) => format!("the library `lib{name}.so`"),
            Self::Module(name) => format!("pkg-config's module `{name}`"),
            Self::Package(name) => format!("what `{name}` stands for"),
        }
    }

    /// Whether a file of the archive is the one that is missing.
    fn fits(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::Header(header) => {
                path.starts_with("usr/include/")
                    && path.strip_suffix(&**header).is_some_and(|folder| folder.ends_with('/'))
            }
            Self::Library(library) => {
                path.starts_with("usr/lib/")
                    && name.strip_prefix("lib").is_some_and(|rest| {
                        rest.strip_suffix(".so").or_else(|| rest.strip_suffix(".a")) == Some(library)
                    })
            }
            Self::Module(module) => path.contains("/pkgconfig/") && name.strip_suffix(".pc") == Some(module),
            Self::Package(_) => false,
        }
    }
}

/// Returns the packages that have what is missing, the likeliest first.
fn owners(lack: &Lack, archive: &Archive) -> Result<Vec<String>, Error> {
    if let Lack::Package(name) = lack {
        return Ok(archive.catalog().candidate(name).map(|record| record.name.to_owned()).into_iter().collect());
    }
    let mut found = archive.files(&|path| lack.fits(path))?;
    // The shallowest path is the most public one; other systems' headers lie deep.
    found.sort_by_key(|(path, _)| (path.contains("-cross/"), path.matches('/').count(), path.len()));
    let packages = found.into_iter().flat_map(|(_, packages)| packages);
    Ok(packages.filter(|name| archive.catalog().candidate(name).is_some()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_read_from_the_output() {
        let output = "xml2_init.h:4:10: fatal error: libxml/tree.h: No such file or directory\n\
            /usr/bin/ld: cannot find -lgsl: No such file or directory\n\
            Package libxml-2.0 was not found in the pkg-config search path.\n\
            No package 'poppler-cpp' found\n * deb: libcurl4-openssl-dev (Debian, Ubuntu, etc)\n\
            ERROR: configuration failed for package 'x'\n";
        let expected = [
            Lack::Header("libxml/tree.h".to_owned()),
            Lack::Library("gsl".to_owned()),
            Lack::Module("libxml-2.0".to_owned()),
            Lack::Module("poppler-cpp".to_owned()),
            Lack::Package("libcurl4-openssl-dev".to_owned()),
        ];
        assert_eq!(lacks(output), expected);
        assert!(lines(output).iter().any(|line| line.starts_with("ERROR: configuration failed")));
        assert!(expected[0].fits("usr/include/libxml2/libxml/tree.h"));
        assert!(!expected[0].fits("usr/include/libxml2/notlibxml/tree.h"));
        assert!(expected[1].fits("usr/lib/x86_64-linux-gnu/libgsl.so"));
        assert!(!expected[1].fits("usr/lib/x86_64-linux-gnu/libgsl.so.27"));
        assert!(expected[2].fits("usr/lib/x86_64-linux-gnu/pkgconfig/libxml-2.0.pc"));
    }

    #[test]
    fn only_what_compiles_for_this_processor_is_refused() {
        assert!(native("g++ -O2 -march=native -c a.cpp -o a.o\n").is_some());
        assert!(native("checking whether g++ accepts -march=native... no\ng++ -O2 -c a.cpp\n").is_none());
    }
}
