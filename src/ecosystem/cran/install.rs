//! How R makes a package from its source, so that the same inputs give the same files: the command and its surroundings.
//!
//! Nothing here runs a program.

use std::collections::BTreeMap;

use crate::layer::FIXED_MTIME;

/// Raised whenever the same sources would give other files; part of every cache key.
pub const FORMAT: u32 = 1;

/// The folder to work in, which must be writable. It is the same everywhere: compilers write it into objects.
pub const FOLDER: &str = "build";

/// The source package's file in [`FOLDER`].
pub const SOURCE: &str = "source.tar.gz";

/// The variables with compiler flags that R knows, for C, C++ and Fortran.
const FLAGS: [&str; 9] =
    ["CFLAGS", "CXXFLAGS", "CXX11FLAGS", "CXX14FLAGS", "CXX17FLAGS", "CXX20FLAGS", "CXX23FLAGS", "FFLAGS", "FCFLAGS"];

/// Debian's flags without debug symbols, and without what makes warnings errors.
const OPTIONS: &str = "-O2 -g0 -fstack-protector-strong";

/// What selects the instructions of the processor at hand: such code gives other bytes elsewhere, or does not run.
pub const NATIVE: [&str; 2] = ["-march=native", "-mcpu=native"];

/// Returns the program and its arguments.
pub fn command(name: &str) -> Vec<String> {
    let script = format!(
        "set -e; cd /{FOLDER}; tar xf {SOURCE}; exec R CMD INSTALL --no-docs --no-multiarch --strip \
         --built-timestamp='{}' --library=/{} {name}",
        timestamp(),
        super::LIBRARY,
    );
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
}

/// Returns the whole environment; `processes` is how many compilers may run at a time.
pub fn environment(processes: usize) -> BTreeMap<String, String> {
    let variables = [
        ("HOME", format!("/{FOLDER}")),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("MAKEFLAGS", format!("-j{}", processes.max(1))),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("R_MAKEVARS_USER", format!("/{FOLDER}/Makevars")),
        ("SOURCE_DATE_EPOCH", FIXED_MTIME.to_string()),
        ("TZ", "UTC".to_owned()),
        ("USER", "mlpack".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Returns the text of the file `Makevars` in [`FOLDER`].
pub fn makevars() -> String {
    FLAGS.iter().map(|name| format!("{name} = {OPTIONS}\n")).collect()
}

/// The time that R writes into the package, as it would write it itself.
fn timestamp() -> &'static str {
    "1980-01-01 00:00:00 UTC"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_machine_is_in_the_command() {
        assert_eq!(command("xml2"), command("xml2"));
        assert!(command("xml2")[2].ends_with("--library=/usr/local/lib/R/site-library xml2"));
        assert_eq!(environment(0)["MAKEFLAGS"], "-j1");
        assert!(makevars().lines().all(|line| line.ends_with("-fstack-protector-strong")));
    }
}
