//! `renv.lock`: the packages of a project, each in one version.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::Unreadable;
use super::requirement::{self, Requirement};

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "Packages")]
    packages: BTreeMap<String, Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    package: String,
    version: String,
    source: Option<String>,
}

/// Reads the file's text. The version of R in it is not taken: the manifest says it.
///
/// Packages that are neither CRAN's nor Bioconductor's are refused, all of them at once. renv itself is left out: it has no
/// part in serving.
pub fn read(text: &str) -> Result<Vec<Requirement>, Unreadable> {
    let lock: Lock = serde_json::from_str(text).map_err(Unreadable::Renv)?;
    let mut names = Vec::new();
    let mut requirements = Vec::new();
    for record in lock.packages.into_values().filter(|record| record.package != "renv") {
        let source = record.source.unwrap_or_else(|| "an unknown place".to_owned());
        if !matches!(&*source, "Repository" | "CRAN" | "Bioconductor") {
            names.push(format!("`{}` ({source})", record.package));
            continue;
        }
        let exact = format!("{} (== {})", record.package, record.version);
        requirements.push(requirement::parse(&exact).ok_or(Unreadable::Requirement { text: exact })?);
    }
    if names.is_empty() { Ok(requirements) } else { Err(Unreadable::Foreign { names }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_repositories_are_taken_exactly_and_others_refused_together() {
        let record = |name: &str, source: &str| {
            format!(r#""{name}": {{"Package": "{name}", "Version": "1.2-3", "Source": "{source}", "Hash": "x"}}"#)
        };
        let lock =
            |records: &[String]| format!(r#"{{"R": {{"Version": "4.2.2"}}, "Packages": {{{}}}}}"#, records.join(","));
        let good = [record("ranger", "Repository"), record("limma", "Bioconductor"), record("renv", "Repository")];
        let requirements: Vec<_> = read(&lock(&good)).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(requirements, ["limma (== 1.2-3)", "ranger (== 1.2-3)"]);
        let bad = [record("ours", "Local"), record("theirs", "GitHub"), record("ranger", "Repository")];
        let error = read(&lock(&bad)).unwrap_err().to_string();
        assert_eq!(error, "packages are from neither CRAN nor Bioconductor: `ours` (Local), `theirs` (GitHub)");
        assert!(matches!(read("[]"), Err(Unreadable::Renv(_))));
    }
}
