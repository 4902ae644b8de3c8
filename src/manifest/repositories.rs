//! `runtime.repositories`: CRAN-like repositories, by name.
//!
//! An address is only checked for its form here. A project's own folder may be named; another folder of the machine may
//! not, since a manifest says nothing about machines: that is for options.

use std::collections::BTreeMap;

use url::Url;

use super::reader::{Cursor, Read, all};
use super::text::shown;
use super::{Language, Place, Repository, keys, names, paths};

/// What stands for the snapshot's day in an address.
const DATE: &str = "{date}";

/// Reads all repositories.
pub(super) fn repositories(cursor: Cursor<'_>, language: Option<Language>) -> Read<BTreeMap<String, Repository>> {
    if language == Some(Language::Python) {
        let hint = "remove it: Python's indexes are taken from the settings of uv and pip";
        return cursor.refuse_key("`repositories` is for R", hint);
    }
    all(cursor.names(&names::ASSET)?.map(|(name, cursor)| Ok((name.to_owned(), repository(cursor)?))))
}

fn repository(cursor: Cursor<'_>) -> Read<Repository> {
    if cursor.scalar().is_some() {
        return Ok(Repository { place: Some(place(cursor, false)?), date: None });
    }
    let fields = cursor.fields(keys::REPOSITORY_FIELDS)?;
    let date = fields.optional("date", |cursor| cursor.named(&names::DATE))?;
    let place = fields.optional("url", |cursor| place(cursor, date.is_some()));
    Ok(Repository { place: place?, date })
}

fn place(cursor: Cursor<'_>, dated: bool) -> Read<Place> {
    let written = cursor.line()?;
    if !written.contains("://") {
        let path = paths::file_or_folder(cursor)?;
        return if path.is_dir() {
            Ok(Place::Folder(path))
        } else {
            cursor.refuse(format!("{} is not a folder", shown(written)), "name the folder that holds `src/contrib`")
        };
    }
    let url = Url::parse(&written.replace(DATE, "2026-11-23")).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        let hint = "write an http or https address, or the path of a folder of the project";
        return cursor.refuse(format!("{} is not the address of a repository", shown(written)), hint);
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let hint = "leave `url` out, and give the address with its credentials by `--r-repository NAME=URL`";
        return cursor.refuse("the address of a repository holds credentials or a query", hint);
    }
    match (dated, written.contains(DATE)) {
        (true, false) => cursor.refuse("the address has no place for the date", format!("write {DATE} into it")),
        (false, true) => cursor.refuse("the repository has no date", "add `date`, such as 2026-11-23"),
        _ => Ok(Place::Address(written.to_owned())),
    }
}
