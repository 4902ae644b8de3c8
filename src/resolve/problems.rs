//! What stays wrong when every library was looked for: symbol versions that the release lacks, which are errors, and
//! libraries that nobody has, which are told of because their object may be an optional part.

use std::collections::BTreeMap;

use super::Request;
use super::providers::Providers;
use crate::elf::{Missing, Resolution, VersionProblem};
use crate::error::{Diagnose, Exit};
use crate::event::Event;
use crate::layer::tree::TreePath;

/// The newest symbol versions of each release.
const SYMBOL_VERSIONS: &str = include_str!("symbol-versions.toml");

/// Objects are built for a newer system than the release is: the loader would refuse them.
#[derive(Debug, thiserror::Error)]
#[error("the libraries of Debian {suite} are too old:\n{}", problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n"))]
pub(super) struct TooOldError {
    suite: String,
    problems: Vec<VersionProblem>,
    hints: Vec<String>,
}

impl Diagnose for TooOldError {
    fn exit(&self) -> Exit {
        Exit::Resolution
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// Warns of libraries that nobody has and of processors that will not do, and fails where the release is too old.
pub(super) fn tell(
    request: &Request<'_>,
    providers: &Providers<'_>,
    resolution: &Resolution,
) -> Result<(), TooOldError> {
    for missing in &resolution.missing {
        let (message, hint) = absent(request, providers, missing);
        request.worlds.report().warn(message, Some(hint));
    }
    tell_of_wishes(request, providers, &resolution.wanted);
    tell_of_processors(request, &resolution.demanding);
    // A library of another wheel may be there for others only: which one is loaded is known when the program runs.
    let is_system = |problem: &&VersionProblem| problem.provider.starts_with("deb:");
    let (errors, warnings): (Vec<_>, Vec<_>) = resolution.version_problems.iter().partition(is_system);
    for problem in warnings {
        request.worlds.report().warn(problem.to_string(), None);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let suite = request.runtime.suite.clone();
    let problems: Vec<VersionProblem> = errors.into_iter().cloned().collect();
    let hints = remedies(request, &suite, &problems);
    Err(TooOldError { suite, problems, hints })
}

/// Tells of libraries that objects of the language's packages would open if they were there; of Debian's own packages, which
/// wish for many, only in detail.
fn tell_of_wishes(request: &Request<'_>, providers: &Providers<'_>, wanted: &[Missing]) {
    for missing in wanted {
        let Some(package) = providers.likeliest(&missing.soname) else { continue };
        let is_language = |needer: &&(String, TreePath)| !needer.0.starts_with("deb:");
        let needer = missing.needed_by.iter().find(is_language).or(missing.needed_by.first());
        let Some((owner, path)) = needer else { continue };
        let message = format!("`{path}` of {owner} opens `{}` where it is there", missing.soname);
        if owner.starts_with("deb:") {
            request.worlds.report().event(Event::Detail { message: format!("{message}: it is in {package}") });
        } else {
            request.worlds.report().warn(message, Some(format!("to have it, add `{package}` to `system.packages`")));
        }
    }
}

/// Warns of objects that run on newer processors alone, one for each package.
fn tell_of_processors(request: &Request<'_>, demanding: &[(String, TreePath, u8)]) {
    let mut hardest: BTreeMap<&str, (u8, &TreePath)> = BTreeMap::new();
    for (owner, path, level) in demanding {
        let entry = hardest.entry(owner).or_insert((*level, path));
        *entry = (*entry).max((*level, path));
    }
    for (owner, (level, path)) in hardest {
        let message = format!("`{path}` of {owner} runs only on processors with x86-64-v{level}");
        let hint = "check the machines that will run the image, or choose a build for all processors".to_owned();
        request.worlds.report().warn(message, Some(hint));
    }
}

fn absent(request: &Request<'_>, providers: &Providers<'_>, missing: &Missing) -> (String, String) {
    let suite = &request.runtime.suite;
    let by: Vec<_> = missing.needed_by.iter().take(3).map(|(owner, path)| format!("`{path}` of {owner}")).collect();
    let message = format!("no package of Debian {suite} has `{}`: {} cannot be loaded", missing.soname, by.join(", "));
    let versions = providers.other_versions(&missing.soname);
    let versions: Vec<_> = versions.iter().map(|(name, package)| format!("`{name}` (in {package})")).collect();
    let hint = if versions.is_empty() {
        "if your model uses it, choose another version of that package, or ship the library as an artifact".to_owned()
    } else {
        format!("the release has {}: choose a version of that package that was built for it", versions.join(", "))
    };
    (message, hint)
}

/// Says which release has all of the versions, and what else helps.
fn remedies(request: &Request<'_>, suite: &str, problems: &[VersionProblem]) -> Vec<String> {
    let has_all = |suite: &str| problems.iter().all(|problem| has(suite, &problem.version));
    let mut hints: Vec<_> = request
        .runtime
        .versions
        .iter()
        .filter(|(_, other)| *other != suite && has_all(other))
        .map(|(version, other)| format!("Debian {other} has what they need: set `runtime.version` to \"{version}\""))
        .collect();
    if let Some(wheel) = problems.iter().find_map(|problem| problem.owner.strip_prefix("wheel:")) {
        let or = if hints.is_empty() { "" } else { "or " };
        hints.push(format!("{or}ask for a version of `{wheel}` that was built for an older system"));
    }
    hints
}

/// Whether a release has a symbol version such as `GLIBC_2.38`.
fn has(suite: &str, version: &str) -> bool {
    let table: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(SYMBOL_VERSIONS).expect("the table is a constant that a test reads");
    let Some((family, wanted)) = version.rsplit_once('_') else { return false };
    let number = |text: &str| -> Option<Vec<u32>> { text.split('.').map(|part| part.parse().ok()).collect() };
    let newest = table.get(suite).and_then(|families| families.get(family));
    number(wanted).is_some_and(|wanted| newest.and_then(|newest| number(newest)) >= Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_versions_up_to_its_newest() {
        assert!(has("trixie", "GLIBC_2.38"));
        assert!(has("bookworm", "GLIBC_2.4"));
        assert!(!has("bookworm", "GLIBC_2.38"));
        assert!(!has("bookworm", "GLIBCXX_3.4.31"));
        assert!(!has("trixie", "GLIBC_PRIVATE"));
        assert!(!has("sid", "GLIBC_2.2.5"));
    }
}
