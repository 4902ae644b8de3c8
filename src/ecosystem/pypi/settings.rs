//! What the user's own settings of uv and pip say about indexes: environment, `uv.toml`, `pyproject.toml`, `pip.conf`,
//! `requirements.txt`.
//!
//! Only texts are read here: which values there are, and in what order. [`super::index`] makes addresses of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::index::IndexError;
use super::requirements;
use crate::fs;

/// Where the user's settings are.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The environment's variables, or at least those of uv and pip, `HOME`, `NETRC` and the `XDG` ones.
    pub environment: BTreeMap<String, String>,
    /// The root of the file system, under which `etc` lies: `/`, but for tests.
    pub root: PathBuf,
    /// The folder of the model's manifest.
    pub project: Option<PathBuf>,
    /// The file of requirements, where the manifest names one.
    pub requirements: Option<PathBuf>,
}

/// An index as the user wrote it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) value: String,
    pub(super) origin: String,
    /// The name that uv knows the index by.
    pub(super) name: Option<String>,
    /// Used for nothing but what is said to be from there.
    pub(super) explicit: bool,
}

/// All that is configured, most important first.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) defaults: Vec<Written>,
    pub(super) extra: Vec<Written>,
}

impl Settings {
    /// Returns a variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    fn config_home(&self) -> Option<PathBuf> {
        let stated = self.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        stated.or_else(|| Some(self.home()?.join(".config")))
    }

    /// Returns the file of credentials.
    pub(super) fn netrc(&self) -> Option<PathBuf> {
        let stated = self.variable("NETRC").map(PathBuf::from);
        stated.or_else(|| Some(self.home()?.join(".netrc")))
    }

    /// Collects what all the settings say: the requirements themselves first, then uv's settings, then pip's.
    pub(super) fn read(&self) -> Result<Found, IndexError> {
        let mut found = Found::default();
        if let Some(path) = &self.requirements
            && path.extension().is_some_and(|extension| extension == "txt" || extension == "in")
        {
            found.add_requirements(path)?;
        }
        self.read_uv(&mut found)?;
        self.read_pip(&mut found)?;
        Ok(found)
    }

    fn read_uv(&self, found: &mut Found) -> Result<(), IndexError> {
        found.add_words(&mut |found| &mut found.defaults, "UV_DEFAULT_INDEX", self);
        found.add_words(&mut |found| &mut found.defaults, "UV_INDEX_URL", self);
        found.add_words(&mut |found| &mut found.extra, "UV_INDEX", self);
        found.add_words(&mut |found| &mut found.extra, "UV_EXTRA_INDEX_URL", self);
        let mut files = Vec::new();
        if let Some(path) = self.variable("UV_CONFIG_FILE") {
            files.push(PathBuf::from(path));
        } else {
            let required = self.requirements.as_deref().filter(|path| path.ends_with("pyproject.toml"));
            files.extend(required.map(Path::to_owned));
            files
                .extend(self.project.iter().flat_map(|folder| [folder.join("uv.toml"), folder.join("pyproject.toml")]));
            files.extend(self.config_home().map(|folder| folder.join("uv/uv.toml")));
            files.extend(["etc/xdg/uv/uv.toml", "etc/uv/uv.toml"].map(|path| self.root.join(path)));
        }
        for path in files {
            if let Some(text) = read(&path)? {
                found.add_uv(&text, &path)?;
            }
        }
        Ok(())
    }

    fn read_pip(&self, found: &mut Found) -> Result<(), IndexError> {
        found.add_words(&mut |found| &mut found.defaults, "PIP_INDEX_URL", self);
        found.add_words(&mut |found| &mut found.extra, "PIP_EXTRA_INDEX_URL", self);
        let mut files: Vec<_> = self.variable("PIP_CONFIG_FILE").map(PathBuf::from).into_iter().collect();
        files.extend(self.config_home().map(|folder| folder.join("pip/pip.conf")));
        files.extend(self.home().map(|folder| folder.join(".pip/pip.conf")));
        files.extend(["etc/xdg/pip/pip.conf", "etc/pip.conf"].map(|path| self.root.join(path)));
        for path in files {
            if let Some(text) = read(&path)? {
                found.add_pip(&text, &path);
            }
        }
        Ok(())
    }
}

/// Reads a file of settings that need not be there. Special files, such as `/dev/null`, count as absent.
fn read(path: &Path) -> Result<Option<String>, IndexError> {
    if !path.is_file() {
        return Ok(None);
    }
    Ok(Some(fs::read_to_string(path)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UvSettings {
    #[serde(default)]
    index: Vec<UvIndex>,
    index_url: Option<String>,
    #[serde(default)]
    extra_index_url: Vec<String>,
}

#[derive(Deserialize)]
struct UvIndex {
    url: String,
    name: Option<String>,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    explicit: bool,
}

impl Found {
    fn add_words(&mut self, list: &mut dyn FnMut(&mut Self) -> &mut Vec<Written>, variable: &str, settings: &Settings) {
        for word in settings.variable(variable).unwrap_or_default().split_whitespace() {
            let named = word.split_once('=').filter(|(name, _)| !name.contains(['/', ':']));
            let (name, value) = named.map_or((None, word), |(name, value)| (Some(name.to_owned()), value));
            let written = Written { value: value.to_owned(), origin: variable.to_owned(), name, explicit: false };
            list(self).push(written);
        }
    }

    fn add_uv(&mut self, text: &str, path: &Path) -> Result<(), IndexError> {
        let syntax = |source| IndexError::Syntax { path: path.to_owned(), source };
        let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
        if path.ends_with("pyproject.toml") {
            let tool = table.get("tool").and_then(|tool| tool.get("uv")).and_then(toml::Value::as_table);
            table = tool.cloned().unwrap_or_default();
        }
        let settings: UvSettings = table.try_into().map_err(syntax)?;
        let origin = path.display().to_string();
        let plain = |value| Written { value, origin: origin.clone(), name: None, explicit: false };
        for UvIndex { url, name, default, explicit } in settings.index {
            let list = if default { &mut self.defaults } else { &mut self.extra };
            list.push(Written { value: url, origin: origin.clone(), name, explicit });
        }
        self.defaults.extend(settings.index_url.map(plain));
        self.extra.extend(settings.extra_index_url.into_iter().map(plain));
        Ok(())
    }

    /// Reads an INI file: continued values are indented.
    fn add_pip(&mut self, text: &str, path: &Path) {
        let mut key = String::new();
        for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';', '['])) {
            let mut values = line.trim();
            if !line.starts_with([' ', '\t']) {
                let (name, value) = line.split_once(['=', ':']).unwrap_or_default();
                key = name.trim().replace('_', "-").to_ascii_lowercase();
                values = value.trim();
            }
            self.add_option(&key, values, &path.display().to_string());
        }
    }

    fn add_requirements(&mut self, path: &Path) -> Result<(), IndexError> {
        for line in requirements::read(path, &read)?.iter().filter(|line| line.is_of_index() && !line.is_constraint) {
            let (option, value) = line.text.split_once([' ', '=']).unwrap_or_default();
            let key = if option == "-i" { "index-url" } else { option.strip_prefix("--").unwrap_or_default() };
            self.add_option(key, value.trim(), &line.file.display().to_string());
        }
        Ok(())
    }

    fn add_option(&mut self, key: &str, values: &str, origin: &str) {
        let list = match key {
            "index-url" => &mut self.defaults,
            "extra-index-url" => &mut self.extra,
            _ => return,
        };
        list.extend(values.split_whitespace().map(|value| Written {
            value: value.to_owned(),
            origin: origin.to_owned(),
            name: None,
            explicit: false,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[Written]) -> Vec<&str> {
        list.iter().map(|written| written.value.as_str()).collect()
    }

    #[test]
    fn files_are_read_in_order_of_importance() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            fs::write_atomic(&root.path().join(path), text.as_bytes()).unwrap();
        };
        write("etc/pip.conf", "[global]\nindex_url = https://global.test/simple\n");
        write("home/.config/pip/pip.conf", "[global]\nextra-index-url =\n    https://a.test/\n    https://b.test/\n");
        write("home/.config/uv/uv.toml", "[[index]]\nname = \"x\"\nurl = \"https://uv.test/\"\ndefault = true\n");
        write("model/pyproject.toml", "[tool.uv]\nextra-index-url = [\"https://project.test/\"]\n");
        write("model/requirements.txt", "--extra-index-url https://cpu.test/whl\n-i https://first.test/simple\nsix\n");
        let settings = Settings {
            environment: [
                ("HOME".to_owned(), root.path().join("home").display().to_string()),
                ("UV_INDEX".to_owned(), "mine=https://mine.test/?a=b".to_owned()),
                ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
            ]
            .into(),
            root: root.path().to_owned(),
            project: Some(root.path().join("model")),
            requirements: Some(root.path().join("model/requirements.txt")),
        };
        let found = settings.read().unwrap();
        let defaults = ["https://first.test/simple", "https://uv.test/", "https://global.test/simple"];
        assert_eq!(values(&found.defaults), defaults);
        let extra = [
            "https://cpu.test/whl",
            "https://mine.test/?a=b",
            "https://project.test/",
            "https://a.test/",
            "https://b.test/",
        ];
        assert_eq!(values(&found.extra), extra);
        assert_eq!(found.extra[1].name.as_deref(), Some("mine"));
    }

    #[test]
    fn the_indexes_of_included_requirements_are_found() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            fs::write_atomic(&root.path().join(path), text.as_bytes()).unwrap();
        };
        write("requirements.txt", "-r deep/base.txt  # ours\n--extra-index-url https://own.test/\n-r lost.txt\n");
        write("deep/base.txt", "--requirement=../requirements.txt\n-rmore.in\nsix\n--require-hashes\n");
        write("deep/more.in", "-i https://more.test/simple\n--extra-index-url https://cpu.test/whl\n-r base.txt\n");
        let settings = Settings { requirements: Some(root.path().join("requirements.txt")), ..Settings::default() };
        let found = settings.read().unwrap();
        assert_eq!(values(&found.defaults)[0], "https://more.test/simple");
        assert_eq!(values(&found.extra)[..2], ["https://cpu.test/whl", "https://own.test/"]);
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = Found::default().add_uv("index = 3", Path::new("/x/uv.toml")).unwrap_err();
        assert!(error.to_string().contains("/x/uv.toml"));
    }
}
