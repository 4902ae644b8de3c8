//! The simple repository API of package indexes: which files a project has, and fetching one of them.
//!
//! Follows the packaging specification "Simple repository API", in its JSON form where the index has it, else in HTML.
//! Pages only say where files are: what is fetched is known by the hash in the lock.

use serde::Deserialize;
use url::Url;

use super::index::Indexes;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::http::{Http, HttpError, display};
use crate::fetch::store::StoreError;
use crate::fetch::{Blob, BlobStore};
use crate::fs;
use crate::lock::Package;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
/// The largest projects' pages have some ten megabytes.
const MAX_PAGE: u64 = 64 << 20;

/// An index does not give what is asked for.
#[derive(Debug, thiserror::Error)]
pub enum SimpleError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A transfer failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The page is neither JSON nor HTML of the specification.
    #[error("{url} is not a page of a package index")]
    Page {
        /// The page's address, without credentials.
        url: String,
        /// What is wrong with its JSON.
        source: serde_json::Error,
    },
    /// An index has a file of that name with another hash.
    #[error("`{file}` of {index} has {found}, and the lock names {expected}")]
    Changed {
        /// The file's name.
        file: String,
        /// The index, without credentials.
        index: String,
        /// The digest that the index states.
        found: Digest,
        /// The digest in the lock.
        expected: Digest,
    },
    /// No index has the file.
    #[error("no package index has `{file}` with the locked hash; asked: {}", indexes.join(", "))]
    Missing {
        /// The file's name.
        file: String,
        /// The indexes asked, without credentials.
        indexes: Vec<String>,
    },
}

impl SimpleError {
    /// Whether a place failed, and not this machine: another place may still have the file.
    fn is_of_a_place(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Http(HttpError::Store(StoreError::File(_))))
    }
}

impl Diagnose for SimpleError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Http(error) => error.exit(),
            Self::Page { .. } => Exit::Network,
            Self::Changed { .. } => Exit::Integrity,
            Self::Missing { .. } => Exit::Resolution,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Http(error) => error.hints(),
            Self::Page { .. } => {
                vec!["an index's address usually ends in `/simple`: check the configured one".to_owned()]
            }
            Self::Changed { .. } => vec![
                "a published file never changes: compare the lock with its last version, and the index with the one it \
                 was locked from"
                    .to_owned(),
            ],
            Self::Missing { .. } => vec![
                "configure the index it was locked from, with UV_INDEX, uv.toml or pip.conf".to_owned(),
                "if it was removed from there, `mlpack lock --update` chooses another version".to_owned(),
            ],
        }
    }
}

/// A file that an index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The file's name.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Its digest, where the index states it.
    pub sha256: Option<Digest>,
    /// Its size in bytes, where the index states it.
    pub size: Option<u64>,
    /// The versions of Python that it is for.
    pub requires_python: Option<String>,
    /// Whether it was withdrawn.
    pub yanked: bool,
}

/// Returns the files that one index has of a project; none where it does not know the project.
///
/// `project` is the normalised name.
pub fn files(http: &Http, indexes: &Indexes, index: &Url, project: &str) -> Result<Vec<File>, SimpleError> {
    let mut url = index.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(project).push("");
    }
    let body = match http.get(&indexes.authorize(&url), Some(ACCEPT), MAX_PAGE) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        body => body?,
    };
    if body.trim_ascii_start().starts_with(b"{") {
        parse_json(&body, &url).map_err(|source| SimpleError::Page { url: display(&url), source })
    } else {
        Ok(parse_html(&String::from_utf8_lossy(&body), &url))
    }
}

/// Returns a locked wheel's file, from the store, from `known`, or from the first index that gives it; verified.
///
/// `known` is the address found while locking in this run. Some indexes refuse what they do not have, so that no failure
/// of one counts before all were asked; then the first one is told.
pub fn fetch(
    package: &Package,
    known: Option<&Url>,
    indexes: &Indexes,
    store: &BlobStore,
    http: &Http,
) -> Result<Blob, SimpleError> {
    if let Some(blob) = store.get(&package.sha256)? {
        return Ok(blob);
    }
    let at_known = known.map(|url| Ok(Some(url.clone())));
    let at_indexes = indexes.all().map(|index| address(package, index, indexes, http));
    let mut failure = None;
    for address in at_known.into_iter().chain(at_indexes) {
        let download = |url: Url| http.download(store, &indexes.authorize(&url), package.sha256, package.size);
        match address.and_then(|url| Ok(url.map(download).transpose()?)) {
            Ok(Some(blob)) => return Ok(blob),
            Ok(None) => {}
            Err(error) if error.is_of_a_place() => failure = failure.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    let missing = || SimpleError::Missing { file: package.path.clone(), indexes: indexes.shown() };
    Err(failure.unwrap_or_else(missing))
}

/// Returns where an index has a locked wheel's file; `None` where it has none of that name.
fn address(package: &Package, index: &Url, indexes: &Indexes, http: &Http) -> Result<Option<Url>, SimpleError> {
    let files = files(http, indexes, index, &package.name)?;
    if let Some(file) = files.iter().find(|file| is_it(file, package)) {
        return Ok(Some(file.url.clone()));
    }
    match files.iter().filter(|file| file.name == package.path).find_map(|file| file.sha256) {
        Some(found) => {
            let (file, index, expected) = (package.path.clone(), display(index), package.sha256);
            Err(SimpleError::Changed { file, index, found, expected })
        }
        None => Ok(None),
    }
}

fn is_it(file: &File, package: &Package) -> bool {
    file.name == package.path
        && file.sha256.is_none_or(|sha256| sha256 == package.sha256)
        && file.size.is_none_or(|size| size == package.size)
}

#[derive(Deserialize)]
struct Page {
    files: Vec<PageFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PageFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    size: Option<u64>,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: serde_json::Value,
}

fn parse_json(body: &[u8], page: &Url) -> Result<Vec<File>, serde_json::Error> {
    let Page { files } = serde_json::from_slice(body)?;
    let file = |file: PageFile| {
        Some(File {
            url: link(page, &file.url)?,
            sha256: file.hashes.get("sha256").and_then(|hex| Digest::from_hex(hex).ok()),
            name: file.filename,
            size: file.size,
            requires_python: file.requires_python,
            yanked: !matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)),
        })
    };
    Ok(files.into_iter().filter_map(file).collect())
}

fn parse_html(body: &str, page: &Url) -> Vec<File> {
    body.split("<a ").skip(1).filter_map(|link| parse_anchor(link, page)).collect()
}

/// Reads what follows `<a `.
fn parse_anchor(text: &str, page: &Url) -> Option<File> {
    let tag = tag_attributes(text);
    let attribute = |name: &str| tag.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let mut url = link(page, &attribute("href")?)?;
    let sha256 =
        url.fragment().and_then(|text| text.strip_prefix("sha256=")).and_then(|hex| Digest::from_hex(hex).ok());
    url.set_fragment(None);
    // The characters of file names that addresses must escape.
    let name = url.path_segments()?.next_back()?.replace("%2B", "+").replace("%2b", "+").replace("%21", "!");
    let requires_python = attribute("data-requires-python");
    Some(File { name, url, sha256, size: None, requires_python, yanked: attribute("data-yanked").is_some() })
}

/// Splits `name="value" name …>` into pairs.
fn tag_attributes(mut text: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    loop {
        text = text.trim_start();
        let end = text.find(|c: char| c == '=' || c == '>' || c.is_whitespace()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return attributes;
        }
        let quoted = rest.strip_prefix('=').and_then(|rest| Some((rest.chars().next()?, rest)));
        let (value, rest) = match quoted {
            Some((quote @ ('"' | '\''), rest)) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
            Some((_, rest)) => rest.split_at(rest.find(|c: char| c == '>' || c.is_whitespace()).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let value = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        attributes.push((name.to_ascii_lowercase(), value));
        text = rest;
    }
}

fn link(page: &Url, text: &str) -> Option<Url> {
    page.join(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}
