//! Resolving, against apt: random sets of packages of each suite, on a system without any package.
//!
//! `MLPACK_APT_SETS` says how many sets of each suite are tried (24 by default), `MLPACK_APT_LARGEST` how many packages the
//! largest has (5 by default), and `MLPACK_APT_REPORT` names a file that each difference is appended to; `benches/apt.sh`
//! sets them. The sets are the same on every run over the same archive.

#![allow(clippy::unwrap_used, reason = "a test says best where it fails by failing there")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mlpack::ecosystem::debian::Pin;
use mlpack::ecosystem::debian::catalog::Catalog;
use mlpack::ecosystem::debian::index::Index;
use mlpack::ecosystem::debian::resolve::{Root, resolve};
use mlpack::ecosystem::debian::sources::{APT_FOLDER, Configured, Mirrors};
use mlpack::ecosystem::debian::version;

/// apt's own keyring, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite that packages are taken from only where they are asked for.
const BACKPORTS: &str = "bookworm-backports";

#[test]
fn sets_of_bookworm_packages() {
    compare("bookworm");
}

#[test]
fn sets_of_trixie_packages() {
    compare("trixie");
}

/// That `apt.py` may stand for apt-get, which takes a second for each set.
#[test]
fn the_library_answers_as_apt_get_does() {
    let apt = Apt::new("bookworm");
    let sets = sets(&apt.catalog(), 8, 5);
    let expected: Vec<_> = sets.iter().map(|set| apt.simulate(set)).collect();
    assert_eq!(apt.answers(&sets), expected);
}

/// Packages of which security or other updates have a newer version, asked for in the version of the release.
#[test]
fn versions_and_releases_are_chosen_as_apt_get_chooses_them() {
    let apt = Apt::new("bookworm");
    let catalog = apt.catalog();
    let mut names: Vec<_> = catalog.names().collect::<BTreeSet<_>>().into_iter().collect();
    names.retain(|name| {
        let versions = catalog.versions(name);
        versions[0].release != "bookworm" && versions.iter().any(|record| record.release == "bookworm")
    });
    let mut installable = 0;
    for name in names.iter().step_by(names.len() / 6) {
        let versions = catalog.versions(name);
        let old = versions.iter().find(|record| record.release == "bookworm").unwrap();
        for text in [format!("{name}={}", old.version), format!("{name}/bookworm")] {
            let Some(expected) = apt.simulate(std::slice::from_ref(&text)) else { continue };
            installable += 1;
            let mut catalog = apt.catalog();
            catalog.pin(&Pin::parse(&text).unwrap()).unwrap();
            assert_eq!(choose(&catalog, &[(*name).to_owned()]).unwrap(), expected, "{text}");
        }
    }
    assert!(installable >= 4, "apt installs {installable} of them");
}

/// Packages of which backports have a newer version: asked for by themselves, and in that version.
#[test]
fn backports_are_taken_where_apt_get_takes_them() {
    let apt = Apt::with("bookworm", &[BACKPORTS]);
    let catalog = apt.catalog();
    let mut names: Vec<_> = catalog.names().collect::<BTreeSet<_>>().into_iter().collect();
    let is_backport = |name: &str| catalog.versions(name).iter().any(|record| record.release == BACKPORTS);
    names
        .retain(|name| catalog.candidate(name).is_some_and(|record| record.release == "bookworm") && is_backport(name));
    let mut installable = 0;
    for name in names.iter().step_by(names.len() / 8) {
        for text in [(*name).to_owned(), format!("{name}/{BACKPORTS}")] {
            let Some(expected) = apt.simulate(std::slice::from_ref(&text)) else { continue };
            installable += 1;
            let mut catalog = apt.catalog();
            if let Some(pin) = Pin::parse(&text) {
                catalog.pin(&pin).unwrap();
            }
            assert_eq!(choose(&catalog, &[(*name).to_owned()]).unwrap(), expected, "{text}");
        }
    }
    assert!(installable >= 8, "apt installs {installable} of them");
}

#[test]
fn versions_are_in_the_order_of_dpkg() {
    for suite in ["bookworm", "trixie"] {
        let catalog = Apt::new(suite).catalog();
        let names: BTreeSet<_> = catalog.names().collect();
        let versions = names.iter().flat_map(|name| catalog.versions(name)).map(|record| record.version);
        let mut versions: Vec<_> = versions.collect::<BTreeSet<_>>().into_iter().collect();
        versions.sort_by(|left, right| version::compare(left, right));
        assert!(versions.len() > 20_000, "{suite} has {} versions", versions.len());
        let pairs: String = versions.windows(2).fold(String::new(), |mut text, pair| {
            writeln!(text, "{} {}", pair[0], pair[1]).unwrap();
            text
        });
        // dpkg's own module; starting dpkg itself for each pair would take minutes.
        let program = "use Dpkg::Version; while (<>) { my ($l, $r) = split; print version_compare($l, $r), qq(\\n) }";
        let answers = pipe(Command::new("perl").args(["-e", program]), &pairs);
        for (pair, answer) in versions.windows(2).zip(answers.lines()) {
            assert_eq!(answer, (version::compare(pair[0], pair[1]) as i8).to_string(), "{pair:?}");
        }
        assert_eq!(answers.lines().count(), versions.len() - 1);
        for pair in versions.windows(2).step_by(500) {
            let later = Command::new("dpkg").args(["--compare-versions", pair[0], "gt", pair[1]]).status().unwrap();
            assert!(!later.success(), "{pair:?}");
        }
    }
}

fn compare(suite: &str) {
    let apt = Apt::new(suite);
    let catalog = apt.catalog();
    let number = |name: &str, default| setting(name).map_or(default, |text| text.parse().unwrap());
    let sets = sets(&catalog, number("MLPACK_APT_SETS", 24), number("MLPACK_APT_LARGEST", 5));
    let answers = apt.answers(&sets);
    let (mut installable, mut same, mut found, mut report) = (0, 0, 0, String::new());
    let mut times = Vec::new();
    for (set, expected) in sets.iter().zip(&answers) {
        let start = Instant::now();
        let chosen = choose(&catalog, set);
        times.push(start.elapsed());
        match (expected, chosen) {
            (None, Ok(_)) => found += 1,
            (None, Err(_)) => {}
            (Some(_), Err(error)) => panic!("apt installs {set:?} of {suite}: {error}"),
            (Some(expected), Ok(chosen)) => {
                installable += 1;
                same += usize::from(*expected == chosen);
                report.push_str(&difference(set, expected, &chosen));
            }
        }
    }
    times.sort();
    let summary = format!(
        "{suite}: {} sets; apt installs {installable}, {same} of them are the same here; of the {} others, {found} are \
         possible; {} ms each, {} ms at most\n",
        sets.len(),
        sets.len() - installable,
        times[times.len() / 2].as_millis(),
        times.last().copied().unwrap_or(Duration::ZERO).as_millis(),
    );
    if let Some(path) = setting("MLPACK_APT_REPORT") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        write!(file, "{summary}{report}").unwrap();
    }
    assert!((installable - same) * 100 <= installable.max(100), "{summary}{report}");
}

fn choose(catalog: &Catalog, set: &[String]) -> Result<BTreeSet<String>, String> {
    let root = |name: &String| Root { relation: name.clone(), reason: "manifest".to_owned() };
    let choices = resolve(catalog, "amd64", &set.iter().map(root).collect::<Vec<_>>());
    let choices = choices.map_err(|error| error.to_string())?;
    Ok(choices.iter().map(|choice| format!("{}={}", choice.record.name, choice.record.version)).collect())
}

fn difference(set: &[String], expected: &BTreeSet<String>, chosen: &BTreeSet<String>) -> String {
    if expected == chosen {
        return String::new();
    }
    let only =
        |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>().join(" ");
    let (missing, extra) = (only(expected, chosen), only(chosen, expected));
    format!("- `{}`: apt alone has `{missing}`, mlpack alone `{extra}`\n", set.join(" "))
}

/// Returns sets of 1 to `largest` packages, the same for the same archive.
fn sets(catalog: &Catalog, number: usize, largest: usize) -> Vec<Vec<String>> {
    let names: Vec<_> = catalog.names().collect::<BTreeSet<_>>().into_iter().collect();
    // Knuth's linear congruential generator.
    let mut state: u64 = 1;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut set = || (0..=random(largest)).map(|_| names[random(names.len())].to_owned()).collect();
    (0..number).map(|_| set()).collect()
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An apt that knows one suite, and a system without any package.
struct Apt {
    folder: tempfile::TempDir,
    suites: Vec<String>,
}

impl Apt {
    /// Fetches the indexes of a suite, its updates and its security updates.
    fn new(suite: &str) -> Self {
        Self::with(suite, &[])
    }

    /// The same, and those of further suites.
    fn with(suite: &str, further: &[&str]) -> Self {
        let mut suites = vec![suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
        suites.extend(further.iter().map(|suite| (*suite).to_owned()));
        let apt = Self { folder: tempfile::tempdir().unwrap(), suites };
        let root = apt.folder.path();
        for name in ["lists/partial", "cache/archives/partial", "parts"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let mirrors = Mirrors::find(&Configured::default(), Path::new(APT_FOLDER)).unwrap();
        let source = |suite: &String| format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirrors.of(suite));
        std::fs::write(root.join("sources.list"), apt.suites.iter().map(source).collect::<String>()).unwrap();
        std::fs::write(root.join("status"), "").unwrap();
        let set = |option: &str, name: &str| format!("{option} \"{}\";\n", root.join(name).display());
        let settings = [
            set("Dir::State::lists", "lists"),
            set("Dir::State::status", "status"),
            set("Dir::State::extended_states", "extended"),
            set("Dir::Cache", "cache"),
            set("Dir::Etc::sourcelist", "sources.list"),
            set("Dir::Etc::sourceparts", "parts"),
            set("Dir::Etc::parts", "parts"),
            set("Dir::Etc::main", "none"),
            set("Dir::Etc::preferences", "none"),
            set("Dir::Etc::preferencesparts", "parts"),
            "APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n"
                .to_owned(),
            "APT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n".to_owned(),
        ];
        std::fs::write(root.join("apt.conf"), settings.concat()).unwrap();
        pipe(apt.command("apt-get").args(["-q", "update"]), "");
        apt
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.path().join("apt.conf")).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Returns the packages that apt sees, read from its own files.
    fn catalog(&self) -> Catalog {
        let format = "$(CODENAME) $(SUITE) $(FILENAME)";
        let files =
            pipe(self.command("apt-get").args(["indextargets", "--format", format, "Identifier: Packages"]), "");
        let index = |suite: &String| {
            let file = files.lines().find_map(|line| line.strip_prefix(&format!("{suite} "))?.split(' ').nth(1));
            let file = file.unwrap_or_else(|| panic!("apt has no index of {suite}:\n{files}"));
            let text = pipe(self.command("/usr/lib/apt/apt-helper").args(["cat-file", file]), "");
            let index = Index::parse(suite, text.into_bytes()).unwrap();
            // apt's priorities of a release of its own accord, and of one that is not automatic, apt_preferences(5).
            index.with_priority(if suite == BACKPORTS { 100 } else { 500 })
        };
        Catalog::new(self.suites.iter().map(index).collect())
    }

    /// Returns what apt's library chooses for each set.
    fn answers(&self, sets: &[Vec<String>]) -> Vec<Option<BTreeSet<String>>> {
        let questions: String = sets.iter().map(|set| set.join(" ") + "\n").collect();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/apt.py");
        // The system's own Python: apt's library is a package for it alone.
        let answers = pipe(self.command("/usr/bin/python3").arg(program), &questions);
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        let answers: Vec<_> = answers.lines().map(|line| (line != "-").then(|| words(line))).collect();
        assert_eq!(answers.len(), sets.len());
        answers
    }

    /// Returns what apt-get says that it would install.
    fn simulate(&self, set: &[String]) -> Option<BTreeSet<String>> {
        let output = self.command("apt-get").args(["-s", "install"]).args(set).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Inst name (version release [architecture])
        let installed = |line: &str| {
            let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
            Some(format!("{name}={}", rest.strip_prefix('(')?.split(' ').next()?))
        };
        output.status.success().then(|| text.lines().filter_map(installed).collect())
    }
}

/// Runs a program to its end; returns what it says to `input`.
fn pipe(command: &mut Command, input: &str) -> String {
    let install = "`apt-get install apt python3-apt libdpkg-perl debian-archive-keyring`";
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install it with {install}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // Both ends at once: neither pipe holds all.
        scope.spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        child.wait_with_output().unwrap()
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (it needs {install}):\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}
