//! `runtime.packages`: a list of requirements, or a file that has one.

use std::path::Path;

use super::document::Value;
use super::reader::{Cursor, Read};
use super::sections::unique;
use super::text::shown;
use super::{Language, Packages, names, paths};

/// Files of other tools, and how they become one that is taken.
const OTHER_FILES: &[(&[&str], &str)] = &[
    (
        &["environment.yml", "environment.yaml", "conda.yaml"],
        "conda's packages are not taken: in that environment, `pip list --format=freeze > requirements.txt` lists those of Python in a file that is",
    ),
    (
        &["poetry.lock"],
        "`poetry export --output requirements.txt` (of poetry-plugin-export) writes a file that is taken",
    ),
    (&["Pipfile", "Pipfile.lock"], "`pipenv requirements > requirements.txt` writes a file that is taken"),
];

/// Reads the packages.
pub(super) fn packages(cursor: Cursor<'_>, language: Option<Language>) -> Read<Packages> {
    if let Value::List(_) = cursor.node.value {
        return unique(cursor, |item| requirement(item, language)).map(Packages::List);
    }
    let Some(written) = cursor.scalar() else { return cursor.expected("a list of packages or the path of a file") };
    let name = Path::new(written).file_name().unwrap_or_default().to_string_lossy();
    let (known, examples) = match language {
        Some(Language::Python) => {
            (is_python_requirements(&name), "requirements.txt, pyproject.toml, uv.lock or pylock.toml")
        }
        Some(Language::R) => (matches!(&*name, "DESCRIPTION" | "renv.lock"), "DESCRIPTION or renv.lock"),
        None => (true, ""),
    };
    if !known {
        let other = OTHER_FILES.iter().find(|(names, _)| language == Some(Language::Python) && names.contains(&&*name));
        let hint = match other {
            Some((_, hint)) => (*hint).to_owned(),
            None => format!("name {examples}, or write a list such as `[first, second]`"),
        };
        return cursor.refuse(format!("{} is not a file of packages", shown(written)), hint);
    }
    paths::file(cursor).map(Packages::File)
}

fn is_python_requirements(name: &str) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    matches!(name, "pyproject.toml" | "uv.lock" | "pylock.toml")
        || extension == "txt"
        || extension == "in"
        || (name.starts_with("pylock.") && extension == "toml")
}

fn requirement(item: Cursor<'_>, language: Option<Language>) -> Read<String> {
    match item.scalar().map(|text| (text, other_kind(text, language))) {
        Some((text, Some(hint))) => item.refuse(format!("{} is not a valid package", shown(text)), hint),
        _ => item.named(&names::REQUIREMENT),
    }
}

/// Returns what to do with an item that installers of packages take, and a manifest does not.
fn other_kind(text: &str, language: Option<Language>) -> Option<&'static str> {
    let is_option = text.starts_with('-');
    let is_local = text.starts_with(['.', '/', '~']) || (text.ends_with(".whl") && !text.contains("://"));
    match language? {
        Language::Python if is_option => {
            Some("put options into a requirements.txt and name that: `packages: requirements.txt`")
        }
        Language::Python if is_local => {
            Some("local wheels are not taken: name a package of your index, or ship your code as it is with `code`")
        }
        Language::R if is_local => {
            Some("put it into `src/contrib` of a folder, and name that folder in `runtime.repositories`")
        }
        Language::Python | Language::R => None,
    }
}
