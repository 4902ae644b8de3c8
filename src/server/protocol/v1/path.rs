//! Paths below `/v1/models`: `{model}[/versions/{number}|/labels/{label}][/metadata|:verb]`. Words are taken in any case, as
//! TensorFlow Serving does.

use crate::server::failure::{Code, Failure};
use crate::service::Task;

/// What a path says.
#[derive(Debug, PartialEq)]
pub(super) struct Target<'a> {
    pub(super) model: &'a str,
    pub(super) version: Option<&'a str>,
    pub(super) label: Option<&'a str>,
    pub(super) verb: Option<Verb>,
}

/// What to do with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Predict,
    Classify,
    Regress,
    Explain,
    Metadata,
}

const VERBS: [(&str, Verb); 4] =
    [("predict", Verb::Predict), ("classify", Verb::Classify), ("regress", Verb::Regress), ("explain", Verb::Explain)];

impl Verb {
    /// Returns the task whose endpoint the verb wants.
    pub(super) fn task(self) -> Task {
        match self {
            Self::Classify => Task::Classification,
            Self::Regress => Task::Regression,
            _ => Task::Custom,
        }
    }
}

impl Target<'_> {
    /// Returns whether it asks for a version in particular.
    pub(super) fn names_version(&self) -> bool {
        self.version.is_some() || self.label.is_some()
    }

    /// Returns whether KServe's clients may have written the path.
    pub(super) fn is_kserve(&self) -> bool {
        let verb = !matches!(self.verb, Some(Verb::Classify | Verb::Regress));
        verb && !self.names_version()
    }
}

/// Takes a path apart.
pub(super) fn parse(path: &str) -> Result<Target<'_>, Failure> {
    let unknown = || Failure::new(Code::NotFound, "there is nothing at this path");
    let (path, verb) = match (path.rsplit_once(':'), path.rsplit_once('/')) {
        (Some((path, word)), _) => {
            let verb = VERBS.iter().find(|(verb, _)| verb.eq_ignore_ascii_case(word));
            (path, Some(verb.ok_or_else(unknown)?.1))
        }
        (None, Some((path, word))) if word.eq_ignore_ascii_case("metadata") => (path, Some(Verb::Metadata)),
        _ => (path, None),
    };
    let mut target = Target { model: path, version: None, label: None, verb };
    let mut parts = path.split('/');
    target.model = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (None, _) => {}
        (Some(word), Some(version)) if word.eq_ignore_ascii_case("versions") => target.version = Some(version),
        (Some(word), Some(label)) if word.eq_ignore_ascii_case("labels") => target.label = Some(label),
        _ => return Err(unknown()),
    }
    if parts.next().is_none() { Ok(target) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let target = |version, label, verb| Target { model: "m", version, label, verb };
        for (path, expected) in [
            ("m", target(None, None, None)),
            ("m:predict", target(None, None, Some(Verb::Predict))),
            ("m/versions/12", target(Some("12"), None, None)),
            ("m/Versions/12:Classify", target(Some("12"), None, Some(Verb::Classify))),
            ("m/labels/stable:regress", target(None, Some("stable"), Some(Verb::Regress))),
            ("m/metadata", target(None, None, Some(Verb::Metadata))),
            ("m/versions/1/metadata", target(Some("1"), None, Some(Verb::Metadata))),
        ] {
            assert_eq!(parse(path).unwrap(), expected, "{path}");
        }
        for path in ["m:destroy", "m/versions", "m/other/1", "m/versions/1/more", "m/versions/1/labels/x"] {
            assert_eq!(parse(path).unwrap_err().code, Code::NotFound, "{path}");
        }
    }
}
