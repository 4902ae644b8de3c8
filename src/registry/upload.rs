//! Uploading one blob: mounted from another repository, in one streaming request, or resumed where that one broke off.

use std::io::{Seek as _, SeekFrom};

use reqwest::blocking::{Body, Response};
use reqwest::header::{LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::client::{Client, Request};
use super::error::RegistryError;
use crate::digest::Digest;
use crate::event::Event;
use crate::fetch::BlobStore;
use crate::fetch::transfer::{Counted, Transient as _};
use crate::fs;

/// How a blob came to be in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was there before.
    Present,
    /// The registry took it from another repository of its own.
    Mounted,
    /// It was sent.
    Sent,
}

impl Outcome {
    /// The outcome in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Present => "already there",
            Self::Mounted => "mounted",
            Self::Sent => "pushed",
        }
    }
}

/// A blob to be uploaded.
pub(super) struct Upload<'a> {
    /// The registry and repository.
    pub client: &'a Client,
    /// Where the blob's bytes are.
    pub store: &'a BlobStore,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Repositories of the same registry that may have the blob.
    pub elsewhere: &'a [String],
}

/// How often an upload that broke off is resumed.
const RESUMES: u32 = 5;

impl Upload<'_> {
    /// Brings the blob into the repository.
    pub(super) fn run(&self) -> Result<Outcome, RegistryError> {
        let id = self.id();
        self.client.report().event(Event::Start { id: id.clone(), action: "push", total: Some(self.size) });
        let outcome = self.outcome()?;
        self.client.report().event(Event::Progress { id: id.clone(), position: self.size });
        self.client.report().event(Event::Done { id, outcome: outcome.text().to_owned() });
        Ok(outcome)
    }

    fn id(&self) -> String {
        self.digest.hex()[..12].to_owned()
    }

    fn outcome(&self) -> Result<Outcome, RegistryError> {
        if self.is_present()? {
            return Ok(Outcome::Present);
        }
        if !self.store.holds(&self.digest, self.size) {
            return Err(RegistryError::MissingBlob { digest: self.digest });
        }
        let mut session = None;
        for repository in self.elsewhere.iter().filter(|repository| *repository != self.client.repository()) {
            match self.mount(repository)? {
                None => return Ok(Outcome::Mounted),
                // A registry that declines opens an upload instead: it is used.
                Some(location) => session = Some(location),
            }
        }
        let session = match session {
            Some(session) => session,
            None => self.open()?,
        };
        self.send(session).map_err(|error| self.blame(error))?;
        Ok(Outcome::Sent)
    }

    /// A registry that refuses the bytes may be right: a damaged blob goes, so that the next build makes it again.
    fn blame(&self, error: RegistryError) -> RegistryError {
        let refused = error.status().is_some_and(|status| status.is_client_error());
        if refused && matches!(self.store.get(&self.digest), Ok(None)) {
            return RegistryError::MissingBlob { digest: self.digest };
        }
        error
    }

    fn is_present(&self) -> Result<bool, RegistryError> {
        let url = self.client.url(&format!("blobs/{}", self.digest))?;
        match self.client.send(&self.request(Method::HEAD, &url)) {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the registry to take the blob from `repository`; gives the upload's address where it declines.
    fn mount(&self, repository: &str) -> Result<Option<Url>, RegistryError> {
        let mut url = self.client.url("blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", &self.digest.to_string()).append_pair("from", repository);
        let request = self.request(Method::POST, &url).empty().scope(format!("repository:{repository}:pull"));
        match self.client.send(&request) {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(None),
            Ok(response) => self.location(&response, &url).map(Some),
            // Not being allowed to read the other repository is no reason to give up.
            Err(error) if error.status().is_some_and(|status| status.is_client_error()) => self.open().map(Some),
            Err(error) => Err(error),
        }
    }

    fn open(&self) -> Result<Url, RegistryError> {
        let url = self.client.url("blobs/uploads/")?;
        let response = self.client.send(&self.request(Method::POST, &url).empty())?;
        self.location(&response, &url)
    }

    fn location(&self, response: &Response, url: &Url) -> Result<Url, RegistryError> {
        let protocol =
            |reason: &str| RegistryError::Protocol { url: crate::fetch::http::display(url), reason: reason.to_owned() };
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = self.client.relative(location.ok_or_else(|| protocol("an upload without a Location"))?)?;
        // A registry that is spoken to with TLS must not send the bytes elsewhere without it.
        if url.scheme() == "https" && location.scheme() != "https" {
            return Err(protocol("an upload's Location has no TLS"));
        }
        Ok(location)
    }

    /// Sends the blob in one request; where that breaks off, asks how far it came and goes on from there.
    fn send(&self, session: Url) -> Result<(), RegistryError> {
        let mut session = session;
        let mut error = match self.put_from(&session, 0) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        for _ in 0..RESUMES {
            if !error.is_temporary() || self.is_present()? {
                return if error.is_temporary() { Ok(()) } else { Err(error) };
            }
            let resumed = match self.progress(&session) {
                Ok((location, received)) => {
                    session = location;
                    self.patch(&session, received).and_then(|location| self.put_empty(&location))
                }
                // The registry forgot the upload: begin again.
                Err(_) => self.open().and_then(|location| {
                    session = location;
                    self.put_from(&session, 0)
                }),
            };
            match resumed {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    fn put_from(&self, session: &Url, start: u64) -> Result<(), RegistryError> {
        let url = self.finishing(session);
        self.client.attempt(&self.sending(Method::PUT, &url, start)).map(drop)
    }

    fn put_empty(&self, session: &Url) -> Result<(), RegistryError> {
        self.client.send(&self.request(Method::PUT, &self.finishing(session)).empty()).map(drop)
    }

    /// Asks how many bytes the registry has, and where to send the rest.
    fn progress(&self, session: &Url) -> Result<(Url, u64), RegistryError> {
        let response = self.client.send(&self.request(Method::GET, session))?;
        let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let received = match range.trim_start_matches("bytes=").split_once('-') {
            Some((_, last)) => last.parse::<u64>().map_or(0, |last| last + 1),
            None => 0,
        };
        // Registries write `0-0` for an upload that has nothing yet.
        let received = if received == 1 { 0 } else { received.min(self.size) };
        Ok((self.location(&response, session).unwrap_or_else(|_| session.clone()), received))
    }

    fn patch(&self, session: &Url, start: u64) -> Result<Url, RegistryError> {
        let range = format!("{start}-{}", self.size.saturating_sub(1));
        let request = self.sending(Method::PATCH, session, start).header("Content-Range", range);
        let response = self.client.attempt(&request)?;
        self.location(&response, session)
    }

    fn request<'a>(&self, method: Method, url: &'a Url) -> Request<'a> {
        Request::new(method, url, self.client.write_scope())
    }

    /// A request with the blob's bytes from `start` on.
    fn sending<'a>(&'a self, method: Method, url: &'a Url, start: u64) -> Request<'a> {
        self.request(method, url)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Length", self.size - start)
            .body(self.size - start, move || self.body(start))
    }

    /// The upload's address with the digest; what the registry put into its query stays.
    fn finishing(&self, session: &Url) -> Url {
        let mut url = session.clone();
        url.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        url
    }

    fn body(&self, start: u64) -> Result<Body, RegistryError> {
        let path = self.store.path(&self.digest);
        let mut file = fs::open(&path)?;
        file.seek(SeekFrom::Start(start)).map_err(fs::Error::wrap("read", &path))?;
        let reader = Counted::new(file, start, &self.id(), self.client.report());
        Ok(Body::sized(reader, self.size - start))
    }
}
