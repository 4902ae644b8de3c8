//! What can go wrong when a model is called from outside.

use url::Url;

use crate::error::{Diagnose, Exit};
use crate::fs;

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none.
    #[error("`{0}` is not the address of a service")]
    Address(String),
    /// There is no service at the address.
    #[error("{url} has no OpenAPI document: {reason}")]
    NoService {
        /// Where it was looked for.
        url: Url,
        /// Why it was not found.
        reason: String,
    },
    /// The service asks for credentials.
    #[error("{0} wants an API key or a token")]
    Unauthorized(Url),
    /// The service has several endpoints, and none was named, or another one.
    #[error("{}", match name {
        Some(name) => format!("the service has no endpoint `{name}`"),
        None => "the service has several endpoints".to_owned(),
    })]
    Endpoint {
        /// The name asked for.
        name: Option<String>,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The endpoint takes or gives something that cannot be read or written in this form.
    #[error("{0}")]
    Form(String),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A row of the input is not what the endpoint takes.
    #[error("{place}: {message}")]
    Row {
        /// The input and the row in it.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The service refused the rows, or could not answer.
    #[error("the service answered {status} to row {rows}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The numbers of the rows that were sent.
        rows: String,
        /// What the service says.
        message: String,
        /// What is wrong with which row.
        details: Vec<String>,
    },
    /// The service did not answer.
    #[error("no answer to row {rows}")]
    Transport {
        /// The numbers of the rows that were sent.
        rows: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer does not have what the contract says.
    #[error("the answer to row {rows} is not what the OpenAPI document says")]
    Answer {
        /// The numbers of the rows that were sent.
        rows: String,
    },
    /// Another call has failed.
    #[error("another call has failed")]
    GivenUp,
}

impl Diagnose for CallError {
    fn exit(&self) -> Exit {
        match self {
            Self::Address(_) | Self::Endpoint { .. } | Self::Form(_) => Exit::Usage,
            Self::NoService { .. } | Self::Transport { .. } | Self::Refused { status: 429 | 502..=504, .. } => {
                Exit::Network
            }
            Self::File(error) => error.exit(),
            _ => Exit::Failure,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Address(_) => vec!["write it like `http://localhost:8080`".to_owned()],
            Self::NoService { .. } => {
                vec!["is the service running, and is this its address? `mlpack serve` shows it".to_owned()]
            }
            Self::Unauthorized(_) | Self::Refused { status: 401 | 403, .. } => {
                vec!["give an API key or a token in the variable MLPACK_API_KEY".to_owned()]
            }
            Self::Endpoint { known, .. } => {
                vec![format!("choose one with `--endpoint`: {}", known.join(", "))]
            }
            Self::Refused { status: 413, .. } => vec!["send fewer rows at a time: `--rows`".to_owned()],
            Self::Refused { status: 429, .. } => vec!["call with less at a time: `--concurrency`".to_owned()],
            Self::Refused { details, .. } => details.clone(),
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
