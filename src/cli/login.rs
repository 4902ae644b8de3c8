//! `mlpack login` and `logout`: keep credentials where Docker and podman look for them too.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use serde_json::json;

use super::Terminal;
use super::push::login_file;
use crate::error::{Diagnose, Exit, Result};
use crate::registry::credentials::{Credentials, store};
use crate::registry::{Client, Connection, Reference};

/// Log in to a registry; the password is read from standard input
#[derive(Args, Debug)]
pub(super) struct Login {
    /// The registry's host name and port
    registry: String,
    /// The user's name
    #[arg(short, long)]
    username: String,
    /// Taken as other tools have it: the password is read from standard input anyway
    #[arg(long = "password-stdin")]
    _password_stdin: bool,
    /// Speak HTTP without TLS to the registry
    #[arg(long)]
    plain_http: bool,
}

/// Forget the credentials of a registry
#[derive(Args, Debug)]
pub(super) struct Logout {
    /// The registry's host name and port
    registry: String,
}

/// No password came.
#[derive(Debug, thiserror::Error)]
#[error("no password on standard input")]
struct PasswordError;

impl Diagnose for PasswordError {
    fn exit(&self) -> Exit {
        Exit::Registry
    }

    fn hints(&self) -> Vec<String> {
        vec!["pipe it in: `mlpack login REGISTRY -u USER < password.txt`".to_owned()]
    }
}

impl Login {
    /// Runs the subcommand: the credentials are tried before they are kept.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let mut password = String::new();
        if !std::io::stdin().is_terminal() {
            std::io::stdin()
                .lock()
                .read_line(&mut password)
                .map_err(crate::fs::Error::wrap("read", "standard input"))?;
        }
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(PasswordError.into());
        }
        let folder = tempfile::tempdir().map_err(crate::fs::Error::wrap("create", std::env::temp_dir()))?;
        let tried = folder.path().join("config.json");
        store(&tried, &self.registry, Some((&self.username, password)))?;
        let connection = Connection {
            plain_http: self.plain_http,
            credentials: Credentials::new(vec![tried]),
            ..Connection::default()
        };
        let reference: Reference = format!("{}/login", self.registry).parse()?;
        Client::new(&reference, &connection, terminal.report().clone())?.ping()?;
        store(&login_file(), &self.registry, Some((&self.username, password)))?;
        terminal.result("", &json!({ "registry": self.registry }))
    }
}

impl Logout {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        store(&login_file(), &self.registry, None)?;
        terminal.result("", &json!({ "registry": self.registry }))
    }
}
