//! Image references: `registry.example.org:5000/team/model:1.0@sha256:…`, as the distribution specification and Docker
//! read them.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::image::name::{is_component, is_tag};

/// The registry that a name without one means, as for every other tool.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag that a name without tag and digest means.
const DEFAULT_TAG: &str = "latest";

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host and port, such as `localhost:5000`.
    pub registry: String,
    /// The path in the registry, such as `team/model`.
    pub repository: String,
    /// The tag; `latest` where neither tag nor digest is given.
    pub tag: Option<String>,
    /// The digest of the image manifest or index.
    pub digest: Option<Digest>,
}

/// The text is not a reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

impl Diagnose for ReferenceError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        if self.text.contains("://") {
            return vec!["leave the part with `://` out: REGISTRY/REPOSITORY:TAG".to_owned()];
        }
        vec!["write it as REGISTRY/REPOSITORY:TAG, such as registry.example.org/team/model:1.0".to_owned()]
    }
}

impl Reference {
    /// Returns what stands after `/manifests/`: the digest where there is one, else the tag.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Returns the same image, named by its digest alone.
    pub fn at(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Returns the host to connect to. Docker Hub answers at another name than its images bear.
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { "registry-1.docker.io" } else { &self.registry }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ReferenceError { text: text.to_owned(), reason };
        if text.contains("://") {
            return Err(error("it is written without a scheme"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| error("the digest is not `sha256:` and 64 hex digits"))?))
            }
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            // A colon before a slash belongs to the port.
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, rest.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{rest}")),
        };
        if !path.split('/').all(is_component) {
            return Err(error("the repository may have lower-case letters, digits, `.`, `_`, `-` and `/` only"));
        }
        if !tag.as_deref().is_none_or(is_tag) {
            return Err(error("a tag has at most 128 letters, digits, `.`, `_` and `-`"));
        }
        if !is_host(registry) {
            return Err(error("the registry is not a host name with an optional port"));
        }
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self { registry: registry.to_owned(), repository: path, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_address = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let is_name =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (is_address || is_name) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, registry, repository, tag) in [
            ("model", "docker.io", "library/model", Some("latest")),
            ("team/model:1", "docker.io", "team/model", Some("1")),
            ("localhost/model", "localhost", "model", Some("latest")),
            ("localhost:5000/a/b:x", "localhost:5000", "a/b", Some("x")),
            ("[::1]:5000/a", "[::1]:5000", "a", Some("latest")),
            ("reg.example.org/a", "reg.example.org", "a", Some("latest")),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (reference.registry.as_str(), reference.repository.as_str(), reference.tag.as_deref()),
                (registry, repository, tag),
                "{text}"
            );
        }
    }

    #[test]
    fn a_reference_survives_its_text() {
        let text = format!("localhost:5000/a:1@{}", Digest::of(b""));
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        let text = format!("localhost:5000/a@{}", Digest::of(b""));
        assert_eq!(text.parse::<Reference>().unwrap().tag, None);
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            "A/b",
            "a/../b",
            "a b",
            "localhost:99999/a",
            "a:",
            "a:-x",
            "a@sha256:12",
            "x.y/a?b",
            "e vil.org/a",
            "http://x.y/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
