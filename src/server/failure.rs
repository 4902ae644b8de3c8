//! Why a request was not answered with a result. It is data: each wire protocol writes it in its own form.
//!
//! Nothing here carries a value of the request, a path or a stack trace; those go to the log at most.

use axum::http::StatusCode;
use serde::Serialize;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind of failure; it decides the status.
    pub code: Code,
    /// One sentence for people.
    pub message: String,
    /// Each thing that is wrong with the request's body.
    pub details: Vec<Detail>,
}

/// One thing that is wrong with a request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// A JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the text of each is in `Code::text`")]
pub enum Code {
    MalformedBody,
    Unauthenticated,
    InvalidCredentials,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidInput,
    QueueFull,
    BodiesFull,
    Overloaded,
    /// The client has left. It stands in no answer, but in the log, metrics and traces.
    ClientGone,
    ModelFailed,
    InvalidOutput,
    WorkerDied,
    NotReady,
    Draining,
    Timeout,
}

impl Code {
    /// Every code, in order.
    pub const ALL: [Self; 20] = [
        Self::MalformedBody,
        Self::Unauthenticated,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidInput,
        Self::QueueFull,
        Self::BodiesFull,
        Self::Overloaded,
        Self::ClientGone,
        Self::ModelFailed,
        Self::InvalidOutput,
        Self::WorkerDied,
        Self::NotReady,
        Self::Draining,
        Self::Timeout,
    ];

    /// Returns the code as it stands in answers.
    pub fn text(self) -> &'static str {
        self.parts().0
    }

    /// Returns the HTTP status (RFC 9110).
    pub fn status(self) -> u16 {
        self.parts().1
    }

    fn parts(self) -> (&'static str, u16) {
        match self {
            Self::MalformedBody => ("malformed_body", 400),
            Self::Unauthenticated => ("unauthenticated", 401),
            Self::InvalidCredentials => ("invalid_credentials", 401),
            Self::Forbidden => ("forbidden", 403),
            Self::NotFound => ("not_found", 404),
            Self::MethodNotAllowed => ("method_not_allowed", 405),
            Self::BodyTimeout => ("body_timeout", 408),
            Self::BodyTooLarge => ("body_too_large", 413),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415),
            Self::InvalidInput => ("invalid_input", 422),
            Self::QueueFull => ("queue_full", 429),
            Self::BodiesFull => ("bodies_full", 429),
            Self::Overloaded => ("overloaded", 429),
            // As nginx has it.
            Self::ClientGone => ("client_gone", 499),
            Self::ModelFailed => ("model_failed", 500),
            Self::InvalidOutput => ("invalid_output", 500),
            Self::WorkerDied => ("worker_died", 500),
            Self::NotReady => ("not_ready", 503),
            Self::Draining => ("draining", 503),
            Self::Timeout => ("timeout", 504),
        }
    }
}

impl Failure {
    /// Returns a failure without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// Returns the failure of a body that does not fit the contract.
    pub fn invalid(details: Vec<Detail>) -> Self {
        Self { code: Code::InvalidInput, message: "the request does not fit the contract".to_owned(), details }
    }

    /// Returns message and details as one sentence, for protocols that have no place of their own for details.
    pub fn sentence(&self) -> String {
        let details = self.details.iter().map(|detail| match detail.pointer.as_str() {
            "" => format!("the body {}", detail.message),
            pointer => format!("{pointer} {}", detail.message),
        });
        let details: Vec<String> = details.collect();
        match details.as_slice() {
            [] => self.message.clone(),
            details => format!("{}: {}", self.message, details.join("; ")),
        }
    }

    /// Returns the HTTP status in the peers' protocols, which know no 422.
    pub fn plain_status(&self) -> StatusCode {
        match self.code {
            Code::InvalidInput => StatusCode::BAD_REQUEST,
            code => StatusCode::from_u16(code.status()).expect("codes have valid statuses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_their_own_order() {
        for (position, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, position);
        }
    }

    #[test]
    fn a_sentence_holds_every_detail() {
        let detail = |pointer: &str| Detail { pointer: pointer.to_owned(), message: "is wrong".to_owned() };
        let failure = Failure::invalid(vec![detail(""), detail("/rows/0")]);
        assert_eq!(failure.sentence(), "the request does not fit the contract: the body is wrong; /rows/0 is wrong");
    }
}
