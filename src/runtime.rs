//! The language runtimes: what `runtimes/*/runtime.yaml` says of each, and the worker program that goes with it.
//!
//! A new language is a folder there and a line in [`FOLDERS`]; nothing else in resolving or building knows of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Diagnose, Exit};
use crate::layer::tree::TreePath;
use crate::service::ROOT;

/// Files by name.
type Files = &'static [(&'static str, &'static str)];

/// Name, description and worker program of each runtime, part of this program.
const FOLDERS: [(&str, &str, Files); 2] = [
    (
        "python",
        include_str!("../runtimes/python/runtime.yaml"),
        &[
            ("worker.py", include_str!("../runtimes/python/worker.py")),
            ("dataframes.py", include_str!("../runtimes/python/dataframes.py")),
            ("errors.py", include_str!("../runtimes/python/errors.py")),
            ("forking.py", include_str!("../runtimes/python/forking.py")),
            ("frames.py", include_str!("../runtimes/python/frames.py")),
            ("images.py", include_str!("../runtimes/python/images.py")),
            ("libraries.py", include_str!("../runtimes/python/libraries.py")),
            ("serving.py", include_str!("../runtimes/python/serving.py")),
            ("tables.py", include_str!("../runtimes/python/tables.py")),
            ("tensors.py", include_str!("../runtimes/python/tensors.py")),
        ],
    ),
    (
        "r",
        include_str!("../runtimes/r/runtime.yaml"),
        &[
            ("worker.R", include_str!("../runtimes/r/worker.R")),
            ("forking.R", include_str!("../runtimes/r/forking.R")),
            ("serving.R", include_str!("../runtimes/r/serving.R")),
            ("tables.R", include_str!("../runtimes/r/tables.R")),
            ("tensors.R", include_str!("../runtimes/r/tensors.R")),
        ],
    ),
];

/// A language runtime, as its description says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    language: String,
    worker: String,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
    base: Vec<String>,
    packages: Vec<String>,
    #[serde(default)]
    optional: BTreeMap<String, String>,
    #[serde(default)]
    left_out: Vec<String>,
}

/// A runtime at one version.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// `python` or `r`.
    pub language: String,
    /// The version that the manifest asks for, such as `3.11`.
    pub version: String,
    /// The Debian release that has this version.
    pub suite: String,
    /// Every version of the language that can be had, with its Debian release.
    pub versions: BTreeMap<String, String>,
    /// The command that starts a worker, with absolute paths in the image.
    pub command: Vec<String>,
    /// Environment variables for workers.
    pub environment: BTreeMap<String, String>,
    /// Debian packages that every image has, taken without their Depends.
    pub base: Vec<String>,
    /// Debian packages of the interpreter, taken without their Depends.
    pub packages: Vec<String>,
    /// Objects of the interpreter that it opens only when something asks for them, each with the Debian package by which a
    /// manifest asks for it: without that, what the object needs is not brought along.
    pub optional: BTreeMap<String, String>,
    /// What images leave out of packages, as paths in which `*` stands for any one name.
    pub left_out: Vec<String>,
    /// The worker program's files, as paths in the image without a leading slash, each with its text.
    pub worker: BTreeMap<String, &'static str>,
}

/// The manifest asks for a runtime that is not there.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No such language.
    #[error("there is no runtime for `{language}`")]
    Language {
        /// The language asked for.
        language: String,
    },
    /// No Debian release has this version.
    #[error("no supported Debian release has {language} {version}")]
    Version {
        /// The language.
        language: String,
        /// The version asked for.
        version: String,
        /// The versions that can be had, each with its release.
        available: Vec<String>,
    },
}

impl Diagnose for RuntimeError {
    fn exit(&self) -> Exit {
        Exit::Manifest
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Language { .. } => {
                let names: Vec<_> = FOLDERS.iter().map(|(name, ..)| *name).collect();
                vec![format!("set `runtime.language` to one of: {}", names.join(", "))]
            }
            Self::Version { available, .. } => {
                vec![format!("set `runtime.version` to one of: {}", available.join(", "))]
            }
        }
    }
}

impl Runtime {
    /// Whether images leave out what lies at `path`, or below it.
    pub fn leaves_out(&self, path: &TreePath) -> bool {
        let fits = |pattern: &String| {
            let mut names = path.as_str().split('/');
            pattern.split('/').all(|expected| names.next().is_some_and(|name| expected == "*" || expected == name))
        };
        self.left_out.iter().any(fits)
    }

    /// Returns the runtime of `language` at `version`.
    ///
    /// # Panics
    /// Never in practice: the descriptions are part of the program and a test reads them all.
    pub fn find(language: &str, version: &str) -> Result<Self, RuntimeError> {
        let (description, files) = Description::of(language)?;
        let suite = description.versions.get(version).ok_or_else(|| RuntimeError::Version {
            language: language.to_owned(),
            version: version.to_owned(),
            available: description.versions.iter().map(|(version, suite)| format!("{version} ({suite})")).collect(),
        })?;
        Ok(description.at(version, suite, files))
    }

    /// Returns the version of `language` nearest to the one that is wished; of two that are as near the older, which more packages fit
    /// that were pinned with the wished one.
    ///
    /// # Panics
    /// Never in practice, as above.
    pub fn nearest(language: &str, wished: &str) -> Result<String, RuntimeError> {
        let (description, _) = Description::of(language)?;
        let number = |version: &str| {
            let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
            1000 * major.parse::<i64>().unwrap_or(0) + minor.parse::<i64>().unwrap_or(0)
        };
        let distance = |version: &&String| ((number(version) - number(wished)).abs(), number(version));
        Ok(description.versions.keys().min_by_key(distance).expect("a test sees that there is one").clone())
    }
}

impl Description {
    fn of(language: &str) -> Result<(Self, Files), RuntimeError> {
        let (_, description, files) = FOLDERS
            .iter()
            .find(|(name, ..)| *name == language)
            .ok_or_else(|| RuntimeError::Language { language: language.to_owned() })?;
        let description =
            serde_saphyr::from_str(description).expect("the descriptions are constants that a test reads");
        Ok((description, files))
    }

    fn at(&self, version: &str, suite: &str, files: Files) -> Runtime {
        let place = |name: &str| format!("{ROOT}/runtime/{name}");
        let worker = format!("/{}", place(&self.worker));
        let fill = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| text.replace("{version}", version).replace("{worker}", &worker)).collect()
        };
        Runtime {
            language: self.language.clone(),
            version: version.to_owned(),
            suite: suite.to_owned(),
            versions: self.versions.clone(),
            command: fill(&self.command),
            environment: self.environment.clone(),
            base: fill(&self.base),
            packages: fill(&self.packages),
            optional: self.optional.clone(),
            left_out: self.left_out.clone(),
            worker: files.iter().map(|(name, text)| (place(name), *text)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_can_be_read() {
        for (name, text, _) in FOLDERS {
            let description: Description = serde_saphyr::from_str(text).unwrap();
            assert_eq!(description.language, name);
            for version in description.versions.keys() {
                let runtime = Runtime::find(name, version).unwrap();
                assert!(!runtime.command.iter().any(|part| part.contains('{')), "{:?}", runtime.command);
                let mut paths = runtime.worker.keys().map(|path| format!("/{path}"));
                assert!(paths.any(|path| runtime.command.iter().any(|part| part.ends_with(&path))));
            }
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_whole_and_nothing_else_is() {
        let runtime = Runtime::find("r", "4.2").unwrap();
        let leaves_out = |path| runtime.leaves_out(&TreePath::new(path).unwrap());
        assert!(leaves_out("usr/lib/R/site-library/RcppEigen/include"));
        assert!(leaves_out("usr/lib/R/site-library/RcppEigen/include/Eigen/Core"));
        assert!(!leaves_out("usr/lib/R/site-library/RcppEigen"));
        assert!(!leaves_out("usr/lib/R/site-library/RcppEigen/libs/include"));
        assert!(!leaves_out("usr/lib/R/site-library/include"));
    }

    #[test]
    fn the_nearest_version_is_one_that_there_is() {
        for (language, wished, nearest) in [
            ("python", "3.8", "3.11"),
            ("python", "3.11", "3.11"),
            ("python", "3.12", "3.11"),
            ("python", "3.14", "3.13"),
            ("python", "2.7", "3.11"),
            ("r", "4.4", "4.5"),
        ] {
            assert_eq!(Runtime::nearest(language, wished).unwrap(), nearest, "{language} {wished}");
        }
    }

    #[test]
    fn an_unknown_version_lists_what_there_is() {
        let error = Runtime::find("python", "3.12").unwrap_err();
        assert_eq!(error.hints(), ["set `runtime.version` to one of: 3.11 (bookworm), 3.13 (trixie)"]);
    }
}
