//! The vocabulary of the manifest: every key, what it takes and what it means.
//!
//! Written once, used twice: the reader refuses what is not here, and `schema` turns it into a JSON Schema for editors.

use super::names::{self, Rule};
use crate::service::IMAGE_TYPES;

/// The value of `apiVersion`.
pub(super) const API_VERSION: &str = "mlpack/v1";

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) form: Form,
    /// What it means, for editors.
    pub(super) about: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Form {
    /// Text on one line, or on several.
    Text,
    /// Text that follows a rule.
    Named(&'static Rule),
    /// A whole number in this range.
    Integer(u64, u64),
    /// This number alone.
    Exactly(i64),
    Number,
    Boolean,
    Null,
    /// Any value that JSON can hold.
    Any,
    /// One of these words.
    Choice(&'static [&'static str]),
    List(&'static Form),
    /// A list of texts, or one of them alone.
    Texts(&'static Form),
    /// A mapping from names of the user's to values.
    Names(&'static Rule, &'static Form),
    /// A mapping with these keys.
    Fields(&'static [Key]),
    Either(&'static [Form]),
}

const fn required(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, required: true, form, about }
}

const fn optional(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, required: false, form, about }
}

pub(super) const LANGUAGES: &[&str] = &["python", "r"];
pub(super) const LIBRARIES: &[&str] = &["elf", "depends", "none"];
pub(super) const ESSENTIAL: &[&str] = &["auto", "full", "none"];
pub(super) const SCRIPTS: &[&str] = &["allow", "deny"];
pub(super) const PLATFORMS: &[&str] = &["linux/amd64", "linux/arm64"];
pub(super) const TASKS: &[&str] =
    &["classification", "regression", "ranking", "anomaly", "clustering", "forecast", "embedding", "custom"];
pub(super) const DATA_TYPES: &[&str] = &["table", "tensor", "json", "text", "binary", "image"];
pub(super) const EXTRA: &[&str] = &["forbid", "ignore"];
pub(super) const VALIDATE_OUTPUT: &[&str] = &["fail", "warn", "off"];
pub(super) const COLUMN_TYPES: &[&str] = &["string", "integer", "number", "boolean", "date", "datetime", "category"];
pub(super) const DTYPES: &[&str] =
    &["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"];

pub(super) const PROTOCOLS: &[&str] = &["v2", "grpc", "kserve", "tensorflow", "mlflow", "vertex", "seldon", "vetiver"];

pub(super) const MAX_WORKERS: u64 = 1024;
/// Each version has workers of its own, and a layer.
pub(super) const MAX_VERSIONS: usize = 32;
pub(super) const MAX_USER: u64 = u32::MAX as u64 - 1;
pub(super) const MAX_ROWS: u64 = 1_000_000;
pub(super) const MAX_QUEUE: u64 = 1_000_000;
/// The longest dimension of a tensor.
pub(super) const MAX_DIMENSION: u64 = u32::MAX as u64;
pub(super) const MAX_TEXT_LENGTH: u64 = u32::MAX as u64;

pub(super) const MANIFEST: &[Key] = &[
    required("apiVersion", Form::Choice(&[API_VERSION]), "The form of this file."),
    required("name", Form::Named(&names::MODEL), "The model's name; the image is called by it."),
    required("version", Form::Named(&names::VERSION), "The model's version; the image is tagged with it."),
    optional("description", Form::Text, "What the model does."),
    optional("license", Form::Named(&names::LICENSE), "The model's licence, as an SPDX expression."),
    required("runtime", Form::Fields(RUNTIME), "The language that the model runs in, and its packages."),
    optional("system", Form::Fields(SYSTEM), "What the image has below the language."),
    required("service", Form::Text, "The service file: `service.py:Class` for Python, `service.R` for R."),
    optional("code", Form::Texts(&Form::Text), "Further files or folders of code, shipped beside the service file."),
    optional("artifacts", Form::Names(&names::ASSET, &ASSET), "The files that the model is made of, by name."),
    optional(
        "versions",
        Form::Names(&names::VERSION, &Form::Fields(VERSION)),
        "Further versions of the model, served from the same image; the highest answers where none is asked for.",
    ),
    optional("datasets", Form::Names(&names::ASSET, &ASSET), "Files that the model looks things up in, by name."),
    required(
        "endpoints",
        Form::Names(&names::ENDPOINT, &Form::Fields(ENDPOINT)),
        "What can be called; `POST /<name>` calls it.",
    ),
    optional("server", Form::Fields(SERVER), "How the server behaves."),
    optional("image", Form::Fields(IMAGE), "How the image is set up."),
    optional("platforms", Form::Texts(&Form::Choice(PLATFORMS)), "What to build for; `linux/amd64` when left out."),
];

pub(super) const RUNTIME: &[Key] = &[
    required("language", Form::Choice(LANGUAGES), "The language of the service file."),
    required(
        "version",
        Form::Named(&names::LANGUAGE_VERSION),
        "The language's version, in quotes: major and minor, such as \"3.11\".",
    ),
    optional(
        "packages",
        Form::Either(&[Form::Text, Form::List(&Form::Named(&names::REQUIREMENT))]),
        "The packages to install: a list, or a file (Python: requirements.txt, pyproject.toml, uv.lock, pylock.toml; R: DESCRIPTION, renv.lock).",
    ),
    optional(
        "repositories",
        Form::Names(&names::ASSET, &REPOSITORY),
        "CRAN-like repositories for R packages that Debian lacks, by name: an address, or a folder of the project.",
    ),
];

const REPOSITORY: Form = Form::Either(&[Form::Text, Form::Fields(REPOSITORY_FIELDS)]);

pub(super) const REPOSITORY_FIELDS: &[Key] = &[
    optional(
        "url",
        Form::Text,
        "Where `src/contrib` lies: an http or https address, or a folder of the project; when left out, it is configured where mlpack runs.",
    ),
    optional(
        "date",
        Form::Named(&names::DATE),
        "The day of the snapshot; it takes the place of `{date}` in the address.",
    ),
];

pub(super) const SYSTEM: &[Key] = &[
    optional(
        "packages",
        Form::Texts(&Form::Named(&names::DEBIAN_PACKAGE)),
        "Debian packages beyond what is found by itself: `name`, `name=version`, `name/release` or `name (>= version)`.",
    ),
    optional(
        "suites",
        Form::Texts(&Form::Named(&names::DEBIAN_SUITE)),
        "Suites of the Debian release beside its updates and security updates, such as `bookworm-backports`. From those that apt takes nothing from by itself, only what is asked for is taken, and what it needs of them.",
    ),
    optional(
        "pins",
        Form::Texts(&Form::Named(&names::DEBIAN_PIN)),
        "Which version or release Debian packages are of if they are there at all, such as `tzdata/bookworm`.",
    ),
    optional(
        "build",
        Form::Texts(&Form::Named(&names::DEBIAN_PACKAGE)),
        "Debian packages that compiling R packages needs, such as `libxml2-dev`, beyond what is found by itself; they do not reach the image.",
    ),
    optional(
        "libraries",
        Form::Choice(LIBRARIES),
        "What comes of the libraries that ELF files need: the packages that have them, those with all that they depend on, or nothing.",
    ),
    optional(
        "essential",
        Form::Choice(ESSENTIAL),
        "Which of Debian's essential packages are there: those that scripts in the image use, all, or none.",
    ),
    optional(
        "scripts",
        Form::Choice(SCRIPTS),
        "Whether maintainer scripts that are not emulated are told of, or an error.",
    ),
];

const ASSET: Form = Form::Either(&[Form::Text, Form::Fields(ASSET_FIELDS)]);

pub(super) const ASSET_FIELDS: &[Key] = &[
    required("path", Form::Text, "The file or folder, relative to this file's folder."),
    optional("license", Form::Named(&names::LICENSE), "Its licence, as an SPDX expression."),
    optional("description", Form::Text, "What it is."),
];

pub(super) const VERSION: &[Key] = &[
    optional(
        "artifacts",
        Form::Names(&names::ASSET, &ASSET),
        "The artifacts that differ from those above, by the same names.",
    ),
    optional(
        "labels",
        Form::Texts(&Form::Named(&names::VERSION_LABEL)),
        "Other names that the version can be asked for by, such as `stable`.",
    ),
];

pub(super) const ENDPOINT: &[Key] = &[
    optional("description", Form::Text, "What it does."),
    optional("task", Form::Choice(TASKS), "What kind of answer it gives; `custom` when left out."),
    required("input", DATA, "What it takes."),
    required("output", DATA, "What it gives."),
    optional(
        "batch",
        Form::Boolean,
        "Whether waiting requests may be merged by row into one call; when left out, they are wherever the data has rows.",
    ),
    optional(
        "validate_output",
        Form::Choice(VALIDATE_OUTPUT),
        "What happens to an answer with values that the output does not allow: the request fails (when left out), the log says so, or nothing.",
    ),
    optional(
        "max_batch_rows",
        Form::Integer(1, MAX_ROWS),
        "How many rows a merged call may have, in place of the server's limit.",
    ),
    optional(
        "max_batch_bytes",
        Form::Text,
        "How large a merged call may be, such as `8MiB`, in place of the server's limit.",
    ),
    optional(
        "latency",
        Form::Text,
        "How long an answer should take at the most, such as `50ms`: merged calls are kept small enough, and requests that would have to wait too long are refused at once.",
    ),
    optional(
        "cache",
        Form::Text,
        "How much memory may be used to remember results by their input, such as `64MiB`; only for results that depend on the input alone.",
    ),
    optional(
        "fallback",
        Form::Any,
        "What is answered, and marked as such, where no worker can answer in time: one row of a table or tensor, else the whole value.",
    ),
    optional("preprocess", Form::Named(&names::FUNCTION), "The service's function that the input goes through first."),
    optional("postprocess", Form::Named(&names::FUNCTION), "The service's function that the result goes through."),
];

const DATA: Form = Form::Either(&[
    Form::Fields(TABLE),
    Form::Fields(TENSOR),
    Form::Fields(JSON),
    Form::Fields(TEXT),
    Form::Fields(BINARY),
    Form::Fields(IMAGE_DATA),
]);

pub(super) const TABLE: &[Key] = &[
    required("type", Form::Choice(&["table"]), "Rows with named, typed columns."),
    required("columns", Form::Names(&names::COLUMN, &COLUMN), "The columns, in order; a bare type is enough for one."),
    optional(
        "extra",
        Form::Choice(EXTRA),
        "Whether other columns of a request are refused (when left out) or ignored.",
    ),
];

pub(super) const TENSOR: &[Key] = &[
    required("type", Form::Choice(&["tensor"]), "A numeric array."),
    required("dtype", Form::Choice(DTYPES), "The type of its elements."),
    required(
        "shape",
        Form::List(&Form::Either(&[Form::Integer(1, MAX_DIMENSION), Form::Exactly(-1), Form::Null])),
        "The length of each dimension; `null` or -1 where it may vary.",
    ),
];

pub(super) const JSON: &[Key] = &[
    required("type", Form::Choice(&["json"]), "Any JSON value."),
    optional("schema", Form::Any, "The JSON Schema that it fits."),
];

pub(super) const TEXT: &[Key] = &[required("type", Form::Choice(&["text"]), "Text.")];

pub(super) const BINARY: &[Key] = &[
    required("type", Form::Choice(&["binary"]), "Bytes."),
    optional(
        "mediaType",
        Form::Named(&names::MEDIA_TYPE),
        "Their media type; `application/octet-stream` when left out.",
    ),
];

pub(super) const IMAGE_DATA: &[Key] = &[
    required("type", Form::Choice(&["image"]), "A picture."),
    optional(
        "mediaTypes",
        Form::Texts(&Form::Choice(IMAGE_TYPES)),
        "The media types taken, of which an answer has the first; PNG and JPEG when left out.",
    ),
];

const COLUMN: Form = Form::Either(&[Form::Choice(COLUMN_TYPES), Form::Fields(COLUMN_FIELDS)]);

pub(super) const COLUMN_FIELDS: &[Key] = &[
    required("type", Form::Choice(COLUMN_TYPES), "The type of its values."),
    optional("description", Form::Text, "What it means."),
    optional("nullable", Form::Boolean, "Whether a value may be missing."),
    optional("default", Form::Any, "The value taken where a row leaves the column out; without one it is required."),
    optional("example", Form::Any, "A value to show."),
    optional("enum", Form::List(&Form::Any), "The values allowed; for a category its levels, in order."),
    optional("minimum", Form::Number, "The smallest number allowed."),
    optional("maximum", Form::Number, "The largest number allowed."),
    optional("maxLength", Form::Integer(1, MAX_TEXT_LENGTH), "The longest text allowed, in characters."),
    optional("pattern", Form::Text, "A regular expression that texts must match somewhere; `^` and `$` bind it."),
];

pub(super) const SERVER: &[Key] = &[
    optional(
        "workers",
        Form::Either(&[Form::Choice(&["auto"]), Form::Integer(1, MAX_WORKERS)]),
        "How many workers run for each version; `auto` is one for each processor that the container may use.",
    ),
    optional("timeout", Form::Text, "How long one call of the model may take, such as `30s`."),
    optional("max_batch_rows", Form::Integer(1, MAX_ROWS), "How many rows a merged call may have."),
    optional("max_batch_bytes", Form::Text, "How large a merged call may be, such as `64MiB`."),
    optional("max_body", Form::Text, "How large a request may be, such as `16MiB`."),
    optional("max_queue", Form::Integer(1, MAX_QUEUE), "How many requests may wait; more are refused with 429."),
    optional("grace", Form::Text, "How long requests may go on after SIGTERM, such as `25s`."),
    optional("startup_timeout", Form::Text, "How long a worker may take to load the model, such as `5m`."),
    optional(
        "preload",
        Form::Either(&[Form::Choice(&["auto"]), Form::Boolean]),
        "Whether the model is loaded once and workers are forked from it; `auto` does so for several workers where it is safe.",
    ),
    optional(
        "protocols",
        Form::Texts(&Form::Choice(PROTOCOLS)),
        "The protocols of other model servers that are spoken besides the server's own; all unless given.",
    ),
];

pub(super) const IMAGE: &[Key] = &[
    optional("user", Form::Integer(0, MAX_USER), "The numeric user that the image runs as."),
    optional("env", Form::Names(&names::VARIABLE, &Form::Text), "Environment variables."),
    optional("labels", Form::Names(&names::LABEL, &Form::Text), "Labels of the image."),
];

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::manifest::{Essential, Language, Libraries, Scripts};
    use crate::platform::Platform;
    use crate::service::{ColumnType, Dtype, Extra, Protocol, Task, ValidateOutput};

    fn assert_variants<T: DeserializeOwned>(choices: &[&str]) {
        for choice in choices {
            assert!(serde_json::from_value::<T>((*choice).into()).is_ok(), "{choice}");
        }
    }

    #[test]
    fn every_choice_names_a_variant() {
        assert_variants::<Language>(LANGUAGES);
        assert_variants::<Libraries>(LIBRARIES);
        assert_variants::<Essential>(ESSENTIAL);
        assert_variants::<Scripts>(SCRIPTS);
        assert_variants::<Platform>(PLATFORMS);
        assert_variants::<Task>(TASKS);
        assert_variants::<ColumnType>(COLUMN_TYPES);
        assert_variants::<Dtype>(DTYPES);
        assert_variants::<Protocol>(PROTOCOLS);
        assert_variants::<Extra>(EXTRA);
        assert_variants::<ValidateOutput>(VALIDATE_OUTPUT);
    }
}
