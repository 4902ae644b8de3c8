//! `renv.lock`: the packages of a project, each in one version, and the repositories that they are from.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Wanted;
use super::error::Unreadable;
use super::requirement;

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "R", default)]
    r: R,
    #[serde(rename = "Packages")]
    packages: BTreeMap<String, Record>,
}

#[derive(Default, Deserialize)]
struct R {
    #[serde(rename = "Repositories", default)]
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "URL")]
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    package: String,
    version: String,
    source: Option<String>,
}

/// Reads the packages. The version of R in the file is not taken: the manifest says it.
///
/// Packages that are neither CRAN's nor Bioconductor's are taken only from a repository that has them, see [`Wanted`]. renv
/// itself is left out: it has no part in serving.
pub fn packages(text: &str) -> Result<Vec<Wanted>, Unreadable> {
    let lock: Lock = serde_json::from_str(text).map_err(Unreadable::Renv)?;
    let records = lock.packages.into_values().filter(|record| record.package != "renv");
    records
        .map(|record| {
            let exact = format!("{} (== {})", record.package, record.version);
            let requirement = requirement::parse(&exact).ok_or(Unreadable::Requirement { text: exact })?;
            let source = record.source.unwrap_or_else(|| "an unknown place".to_owned());
            let is_public = matches!(&*source, "Repository" | "CRAN" | "Bioconductor");
            Ok(Wanted { requirement, origin: (!is_public).then_some(source) })
        })
        .collect()
}

/// Reads the repositories: their names and addresses.
pub fn repositories(text: &str) -> Result<Vec<(String, String)>, Unreadable> {
    let lock: Lock = serde_json::from_str(text).map_err(Unreadable::Renv)?;
    Ok(lock.r.repositories.into_iter().map(|repository| (repository.name, repository.url)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_taken_exactly_and_those_from_elsewhere_are_marked() {
        let record = |name: &str, source: &str| {
            format!(r#""{name}": {{"Package": "{name}", "Version": "1.2-3", "Source": "{source}", "Hash": "x"}}"#)
        };
        let records = [
            record("ranger", "Repository"),
            record("limma", "Bioconductor"),
            record("renv", "Repository"),
            record("ours", "GitHub"),
        ];
        let r = r#"{"Version": "4.2.2", "Repositories": [{"Name": "CRAN", "URL": "https://example.org/cran"}]}"#;
        let text = format!(r#"{{"R": {r}, "Packages": {{{}}}}}"#, records.join(","));
        let wanted: Vec<_> = packages(&text).unwrap();
        let shown: Vec<_> = wanted.iter().map(|one| (one.requirement.to_string(), one.origin.as_deref())).collect();
        let expected = [("limma (== 1.2-3)", None), ("ours (== 1.2-3)", Some("GitHub")), ("ranger (== 1.2-3)", None)];
        assert_eq!(shown, expected.map(|(text, origin)| (text.to_owned(), origin)));
        assert_eq!(repositories(&text).unwrap(), [("CRAN".to_owned(), "https://example.org/cran".to_owned())]);
        assert!(matches!(packages("[]"), Err(Unreadable::Renv(_))));
    }
}
