//! Who we are at a registry: Docker's and podman's own files and credential helpers, read as those tools read them.
//!
//! [`store`] changes such a file for `login` and `logout`. No secret reaches a message.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::RegistryError;
use crate::fs;

/// What to show a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password or access token.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token, to be exchanged for access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// The files in which credentials are looked for, first match first.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    files: Vec<PathBuf>,
}

/// Docker's `config.json` and podman's `auth.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

type JsonObject = serde_json::Map<String, serde_json::Value>;

/// What a credential helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Credentials {
    /// Looks in these files; one that is not there is passed over.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// Returns what to show `registry` for `repository`; `None` where nothing is said, which means anonymous.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, RegistryError> {
        for path in &self.files {
            let file = match fs::read(path) {
                Ok(bytes) => serde_json::from_slice::<File>(&bytes)
                    .map_err(|source| RegistryError::Credentials { path: path.clone(), source })?,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(credential) = file.find(registry, repository)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

impl File {
    fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, RegistryError> {
        for name in names(registry) {
            if let Some(helper) = self.cred_helpers.get(&name).or(self.creds_store.as_ref())
                && let Some(credential) = ask(helper, &name)?
            {
                return Ok(Some(credential));
            }
        }
        // podman knows entries for a path in a registry; the longest one that fits counts.
        let mut path = format!("{registry}/{repository}");
        while let Some((parent, _)) = path.rsplit_once('/') {
            if let Some(credential) = self.auths.get(&path).and_then(Entry::credential) {
                return Ok(Some(credential));
            }
            path = parent.to_owned();
        }
        Ok(names(registry).iter().filter_map(|name| self.auths.get(name)).find_map(Entry::credential))
    }
}

impl Entry {
    fn credential(&self) -> Option<Credential> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Some(Credential::IdentityToken(token.clone()));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Some(Credential::Password { user: user.clone(), password: password.clone() });
        }
        let decoded = STANDARD.decode(self.auth.as_ref()?).ok()?;
        let (user, password) = std::str::from_utf8(&decoded).ok()?.trim_end_matches('\0').split_once(':')?;
        Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
    }
}

/// The names under which a registry may be filed.
fn names(registry: &str) -> Vec<String> {
    let mut names = vec![registry.to_owned(), format!("https://{registry}"), format!("http://{registry}")];
    if registry == "docker.io" {
        names.push("https://index.docker.io/v1/".to_owned());
    }
    names
}

/// Asks `docker-credential-<helper>`; `None` where it knows nothing of the registry.
fn ask(helper: &str, registry: &str) -> Result<Option<Credential>, RegistryError> {
    let program = format!("docker-credential-{helper}");
    let failed =
        |reason: String| RegistryError::Helper { program: program.clone(), registry: registry.to_owned(), reason };
    if helper.contains(['/', '\0']) {
        return Err(failed("its name has a slash".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(registry.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return if text.contains("credentials not found") { Ok(None) } else { Err(failed(text.trim().to_owned())) };
    }
    let answer: HelperAnswer = serde_json::from_str(&text)
        .map_err(|_| failed("it printed something other than its protocol's JSON".to_owned()))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credential::IdentityToken(answer.secret),
        _ => Credential::Password { user: answer.username, password: answer.secret },
    }))
}

/// Sets `registry`'s entry in the file at `path`, and leaves what else is in it; `None` as credential removes it.
pub fn store(path: &Path, registry: &str, credential: Option<(&str, &str)>) -> Result<(), RegistryError> {
    let unreadable = |source| RegistryError::Credentials { path: path.to_owned(), source };
    let mut file: JsonObject = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(unreadable)?,
        Err(error) if error.is_not_found() => JsonObject::new(),
        Err(error) => return Err(error.into()),
    };
    let mut auths: JsonObject = match file.remove("auths") {
        Some(auths) => serde_json::from_value(auths).map_err(unreadable)?,
        None => JsonObject::new(),
    };
    match credential {
        Some((user, password)) => {
            let auth = STANDARD.encode(format!("{user}:{password}"));
            auths.insert(registry.to_owned(), serde_json::json!({ "auth": auth }));
        }
        None => drop(auths.remove(registry)),
    }
    file.insert("auths".to_owned(), auths.into());
    let bytes = serde_json::to_vec_pretty(&file).expect("a JSON value can always be written");
    Ok(fs::write_secret(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(file: &str, registry: &str, repository: &str) -> Option<Credential> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, file).unwrap();
        Credentials::new(vec![folder.path().join("none"), path]).find(registry, repository).unwrap()
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn entries_are_found_by_registry_and_by_path() {
        let file = r#"{"auths": {"r.example.org": {"auth": "YTpi"}, "r.example.org/team": {"auth": "Yzpk"},
                       "https://index.docker.io/v1/": {"auth": "ZTpm"}, "t.example.org": {"identitytoken": "xyz"}}}"#;
        assert_eq!(find(file, "r.example.org", "other/x"), Some(password("a", "b")));
        assert_eq!(find(file, "r.example.org", "team/x"), Some(password("c", "d")));
        assert_eq!(find(file, "docker.io", "library/x"), Some(password("e", "f")));
        assert_eq!(find(file, "t.example.org", "x"), Some(Credential::IdentityToken("xyz".to_owned())));
        assert_eq!(find(file, "none.example.org", "x"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", password("a", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn login_keeps_what_else_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"auths": {"a": {"auth": "eDp5"}}, "other": 1}"#).unwrap();
        store(&path, "b", Some(("u", "p"))).unwrap();
        let credentials = Credentials::new(vec![path.clone()]);
        assert_eq!(credentials.find("b", "x").unwrap(), Some(password("u", "p")));
        assert_eq!(credentials.find("a", "x").unwrap(), Some(password("x", "y")));
        store(&path, "b", None).unwrap();
        assert_eq!(credentials.find("b", "x").unwrap(), None);
        assert!(std::fs::read_to_string(&path).unwrap().contains("other"));
    }

    #[test]
    fn nobody_else_reads_what_login_writes() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker/config.json");
        store(&path, "r", Some(("u", "p"))).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_configuration_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for text in ["[]", r#"{"auths": "none"}"#, "{"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(store(&path, "r", Some(("u", "p"))), Err(RegistryError::Credentials { .. })), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
