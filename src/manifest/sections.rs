//! The sections of the manifest, but for `endpoints`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::document::Value;
use super::names::{self, Rule};
use super::packages::packages;
use super::reader::{Cursor, Fields, Read, Refused, all};
use super::repositories::repositories;
use super::text::shown;
use super::{
    AssetFile, Essential, Image, Language, Libraries, Manifest, Packages, Runtime, Scripts, ServiceFile, System,
};
use super::{endpoints, keys, paths, units, versions};
use crate::error::Diagnose as _;
use crate::platform::{Architecture, Platform};
use crate::runtime::Runtime as LanguageRuntime;
use crate::service::{Protocol, Server};

/// Reads the whole manifest; `path`, `root` and `text` are for the caller to fill in.
pub(super) fn manifest(cursor: Cursor<'_>) -> Read<Manifest> {
    let fields = cursor.fields(keys::MANIFEST)?;
    let api_version = fields.required("apiVersion", |cursor| cursor.choice::<String>(&[keys::API_VERSION]));
    let name = fields.required("name", |cursor| cursor.named(&names::MODEL));
    let version = fields.required("version", |cursor| cursor.named(&names::VERSION));
    let description = fields.or("description", String::new(), Cursor::prose);
    let license = fields.optional("license", license);
    let language = language(&fields);
    let runtime = fields.required("runtime", |cursor| runtime(cursor, language));
    let system = fields.or("system", System::default(), |cursor| system(cursor, language));
    let service = fields.required("service", |cursor| service(cursor, language));
    let code = fields.or("code", Vec::new(), code);
    let artifacts = fields.or("artifacts", BTreeMap::new(), assets);
    let versions = versions::versions(&fields, version.as_deref().ok(), artifacts.as_ref().ok());
    let datasets = fields.or("datasets", BTreeMap::new(), assets);
    let endpoints = fields.required("endpoints", endpoints::endpoints);
    let server = fields.or("server", Server::default(), server);
    let image = fields.or("image", Image::default(), image);
    let platforms = fields.or("platforms", vec![Platform { architecture: Architecture::Amd64 }], platforms);
    api_version?;
    let versions = versions?;
    Ok(Manifest {
        path: PathBuf::new(),
        root: PathBuf::new(),
        text: String::new(),
        name: name?,
        version: versions.last().map_or(version?, |latest| latest.name.clone()),
        versions,
        description: description?,
        license: license?,
        runtime: runtime?,
        system: system?,
        service: service?,
        code: code?,
        artifacts: artifacts?,
        datasets: datasets?,
        endpoints: endpoints?,
        server: server?,
        image: image?,
        platforms: platforms?,
    })
}

/// Looks ahead for the language, which other fields depend on; `runtime` reports what is wrong with it.
fn language(fields: &Fields<'_>) -> Option<Language> {
    match fields.find("runtime")?.peek("language")?.scalar()? {
        "python" => Some(Language::Python),
        "r" => Some(Language::R),
        _ => None,
    }
}

fn license(cursor: Cursor<'_>) -> Read<String> {
    cursor.named(&names::LICENSE)
}

fn runtime(cursor: Cursor<'_>, known: Option<Language>) -> Read<Runtime> {
    let fields = cursor.fields(keys::RUNTIME)?;
    let language = fields.required("language", |cursor| cursor.choice(keys::LANGUAGES));
    let version = fields.required("version", |cursor| version(cursor, known));
    let packages = fields.or("packages", Packages::None, |cursor| packages(cursor, known));
    let repositories = fields.or("repositories", BTreeMap::new(), |cursor| repositories(cursor, known));
    Ok(Runtime { language: language?, version: version?, packages: packages?, repositories: repositories? })
}

/// Reads the version of a language, which a Debian release must have.
fn version(cursor: Cursor<'_>, language: Option<Language>) -> Read<String> {
    let version = cursor.named(&names::LANGUAGE_VERSION)?;
    let found = language.map(|language| LanguageRuntime::find(&language.to_string(), &version));
    match found {
        Some(Err(error)) => cursor.refuse(error.to_string(), error.hints().join("; ")),
        _ => Ok(version),
    }
}

/// Reads a list of names, each written once.
pub(super) fn list(cursor: Cursor<'_>, rule: &Rule) -> Read<Vec<String>> {
    unique(cursor, |item| item.named(rule))
}

/// Reads a list of texts, each written once.
pub(super) fn unique<'a>(cursor: Cursor<'a>, read: impl Fn(Cursor<'a>) -> Read<String>) -> Read<Vec<String>> {
    let mut seen = BTreeSet::new();
    all(cursor.texts()?.map(|item| {
        let name = read(item)?;
        if seen.insert(name.clone()) {
            Ok(name)
        } else {
            item.refuse("it is in the list twice", "remove one of the two")
        }
    }))
}

fn system(cursor: Cursor<'_>, language: Option<Language>) -> Read<System> {
    let fields = cursor.fields(keys::SYSTEM)?;
    let packages = fields.or("packages", Vec::new(), |cursor| list(cursor, &names::DEBIAN_PACKAGE));
    let suites = fields.or("suites", Vec::new(), |cursor| list(cursor, &names::DEBIAN_SUITE));
    let pins = fields.or("pins", Vec::new(), |cursor| list(cursor, &names::DEBIAN_PIN));
    let libraries = fields.or("libraries", Libraries::default(), |cursor| cursor.choice(keys::LIBRARIES));
    let build = fields.or("build", Vec::new(), |cursor| build(cursor, language));
    let essential = fields.or("essential", Essential::default(), |cursor| cursor.choice(keys::ESSENTIAL));
    let scripts = fields.or("scripts", Scripts::default(), |cursor| cursor.choice(keys::SCRIPTS));
    Ok(System {
        packages: packages?,
        build: build?,
        suites: suites?,
        pins: pins?,
        libraries: libraries?,
        essential: essential?,
        scripts: scripts?,
    })
}

/// Only R packages are compiled.
fn build(cursor: Cursor<'_>, language: Option<Language>) -> Read<Vec<String>> {
    if language == Some(Language::Python) {
        return cursor.refuse_key("`build` is for R", "remove it: Python packages are taken as wheels");
    }
    list(cursor, &names::DEBIAN_PACKAGE)
}

fn service(cursor: Cursor<'_>, language: Option<Language>) -> Read<ServiceFile> {
    let written = cursor.line()?;
    let (file, entry) = written.split_once(':').unwrap_or((written, ""));
    let extension = Path::new(file).extension().unwrap_or_default();
    let wrong = match language.ok_or(Refused)? {
        Language::Python if extension != "py" || entry.is_empty() => Some("a Python service is `file.py:Class`"),
        Language::R if !extension.eq_ignore_ascii_case("r") || !entry.is_empty() => Some("an R service is `file.R`"),
        _ => None,
    };
    if let Some(hint) = wrong {
        return cursor.refuse(format!("`service` cannot be {}", shown(written)), hint);
    }
    if !entry.is_empty() && !(names::CLASS.accepts)(entry) {
        return cursor.refuse(format!("{} is not a valid class name", shown(entry)), names::CLASS.hint);
    }
    Ok(ServiceFile { file: paths::file_named(cursor, file)?, entry: entry.to_owned() })
}

fn code(cursor: Cursor<'_>) -> Read<Vec<PathBuf>> {
    all(cursor.texts()?.map(|item| {
        paths::file_or_folder(item)?;
        // Shipped where it was written, not where a link of it leads.
        Ok(Path::new(item.line()?).components().collect())
    }))
}

fn assets(cursor: Cursor<'_>) -> Read<BTreeMap<String, AssetFile>> {
    all(cursor.names(&names::ASSET)?.map(|(name, cursor)| Ok((name.to_owned(), asset(cursor)?))))
}

pub(super) fn asset(cursor: Cursor<'_>) -> Read<AssetFile> {
    if cursor.scalar().is_some() {
        return Ok(AssetFile { path: paths::file_or_folder(cursor)?, license: None, description: None });
    }
    let Value::Mapping(_) = cursor.node.value else { return cursor.expected("a path, or a mapping with `path`") };
    let fields = cursor.fields(keys::ASSET_FIELDS)?;
    let path = fields.required("path", paths::file_or_folder);
    let license = fields.optional("license", license);
    let description = fields.optional("description", Cursor::prose);
    Ok(AssetFile { path: path?, license: license?, description: description? })
}

fn server(cursor: Cursor<'_>) -> Read<Server> {
    let fields = cursor.fields(keys::SERVER)?;
    let default = Server::default();
    let workers = fields.or("workers", default.workers, workers);
    let timeout_ms = fields.or("timeout", default.timeout_ms, units::duration);
    let max_batch_rows = fields.or("max_batch_rows", default.max_batch_rows, endpoints::batch_rows);
    let max_batch_bytes = fields.or("max_batch_bytes", default.max_batch_bytes, units::size);
    let max_body_bytes = fields.or("max_body", default.max_body_bytes, units::size);
    let max_queue = fields.or("max_queue", default.max_queue, |cursor| count(cursor, keys::MAX_QUEUE));
    let grace_ms = fields.or("grace", default.grace_ms, units::duration);
    let startup_timeout_ms = fields.or("startup_timeout", default.startup_timeout_ms, units::duration);
    let preload = fields.or("preload", default.preload, preload);
    let protocols = fields.or("protocols", default.protocols, protocols);
    Ok(Server {
        workers: workers?,
        timeout_ms: timeout_ms?,
        max_batch_rows: max_batch_rows?,
        max_batch_bytes: max_batch_bytes?,
        max_body_bytes: max_body_bytes?,
        max_queue: max_queue?,
        grace_ms: grace_ms?,
        startup_timeout_ms: startup_timeout_ms?,
        preload: preload?,
        protocols: protocols?,
    })
}

fn protocols(cursor: Cursor<'_>) -> Read<BTreeSet<Protocol>> {
    all(cursor.texts()?.map(|item| item.choice(keys::PROTOCOLS)))
}

fn workers(cursor: Cursor<'_>) -> Read<Option<u32>> {
    if cursor.scalar() == Some("auto") {
        return Ok(None);
    }
    let number = cursor.scalar().and_then(|text| text.parse().ok());
    let number = number.filter(|number| (1..=keys::MAX_WORKERS).contains(&u64::from(*number)));
    match number {
        Some(number) => Ok(Some(number)),
        None => cursor.expected(&format!("`auto` or a whole number from 1 to {}", keys::MAX_WORKERS)),
    }
}

fn preload(cursor: Cursor<'_>) -> Read<Option<bool>> {
    match cursor.scalar() {
        Some("auto") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        _ => cursor.expected("`auto`, `true` or `false`"),
    }
}

fn count(cursor: Cursor<'_>, most: u64) -> Read<u32> {
    cursor.integer(1, most).map(|number| u32::try_from(number).expect("the limits fit 32 bits"))
}

fn image(cursor: Cursor<'_>) -> Read<Image> {
    let fields = cursor.fields(keys::IMAGE)?;
    let default = Image::default();
    let user = fields.or("user", default.user, |cursor| {
        cursor.integer(0, keys::MAX_USER).map(|user| u32::try_from(user).expect("the limit fits 32 bits"))
    });
    let env = fields.or("env", default.env, |cursor| texts(cursor, &names::VARIABLE));
    let labels = fields.or("labels", default.labels, |cursor| texts(cursor, &names::LABEL));
    Ok(Image { user: user?, env: env?, labels: labels? })
}

fn texts(cursor: Cursor<'_>, rule: &'static Rule) -> Read<BTreeMap<String, String>> {
    all(cursor.names(rule)?.map(|(name, cursor)| Ok((name.to_owned(), cursor.line()?.to_owned()))))
}

fn platforms(cursor: Cursor<'_>) -> Read<Vec<Platform>> {
    let mut platforms: Vec<Platform> = all(cursor.texts()?.map(|item| item.choice(keys::PLATFORMS)))?;
    let count = platforms.len();
    platforms.sort();
    platforms.dedup();
    if platforms.is_empty() || platforms.len() < count {
        return cursor.refuse("`platforms` must name each platform once, and at least one", "write `[linux/amd64]`");
    }
    Ok(platforms)
}
