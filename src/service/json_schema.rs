//! JSON Schema (2020-12) of JSON inputs and outputs: checked when the manifest is read, used when the server runs.
//!
//! Everything stands in the schema itself: other documents are never loaded. Formats that the vocabulary has are asserted.
//! Messages say what a value must be, never what it was.

use std::error::Error;

use boon::{CompileError, Compiler, Draft, ErrorKind, SchemaIndex, Schemas, Type, UrlLoader, ValidationError};
use serde_json::Value;

/// A name for the schema itself, below which its own references are found.
const PLACE: &str = "mlpack:/schema";
/// How many values a JSON value may consist of where a schema must be held against each.
const MAX_VALUES: usize = 1 << 20;
/// How many forms of a choice are told.
const MAX_FORMS: usize = 3;
/// The longest list of names or choices in a message.
const MAX_LISTED: usize = 10;

/// A schema made ready for use.
pub struct JsonSchema {
    schemas: Schemas,
    root: SchemaIndex,
}

/// A place of a value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// A JSON pointer (RFC 6901) into the value.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// A schema that is none.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It refers to another document.
    #[error("it refers to another document, `{0}`: put what it refers to below `$defs`")]
    Remote(String),
    /// A keyword has a value that it cannot have.
    #[error("`{pointer}` {message}")]
    Keyword {
        /// A JSON pointer into the schema.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
    /// A `pattern` is no regular expression.
    #[error("`{0}` is no regular expression that can be used here")]
    Pattern(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Loads nothing.
struct NoDocuments;

impl UrlLoader for NoDocuments {
    fn load(&self, _: &str) -> Result<Value, Box<dyn Error>> {
        Err("other documents are not loaded".into())
    }
}

impl JsonSchema {
    /// Checks a schema; `None` is one that allows everything.
    pub fn new(schema: &Value) -> Result<Option<Self>, SchemaError> {
        if schema.is_null() || *schema == Value::Bool(true) || schema.as_object().is_some_and(serde_json::Map::is_empty)
        {
            return Ok(None);
        }
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(NoDocuments));
        let mut schemas = Schemas::new();
        compiler.add_resource(PLACE, schema.clone()).map_err(|error| SchemaError::from(&error))?;
        let root = compiler.compile(PLACE, &mut schemas).map_err(|error| SchemaError::from(&error))?;
        Ok(Some(Self { schemas, root }))
    }

    /// Returns what is wrong with a value: nothing, or up to `most` problems.
    pub fn problems(&self, value: &Value, most: usize) -> Vec<SchemaProblem> {
        if count(value) > MAX_VALUES {
            let message = format!("must consist of at most {MAX_VALUES} values");
            return vec![SchemaProblem { pointer: String::new(), message }];
        }
        let mut problems = Vec::new();
        if let Err(error) = self.schemas.validate(value, self.root) {
            collect(&error, most, &mut problems);
        }
        problems
    }
}

impl std::fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonSchema").finish_non_exhaustive()
    }
}

impl From<&CompileError> for SchemaError {
    fn from(error: &CompileError) -> Self {
        match error {
            CompileError::LoadUrlError { url, .. } | CompileError::UnsupportedUrlScheme { url } => {
                Self::Remote(url.clone())
            }
            CompileError::ValidationError { src, .. } => {
                let mut problems = Vec::new();
                collect(src, 1, &mut problems);
                let problem = problems.pop().expect("a schema that does not fit has a problem");
                Self::Keyword { pointer: problem.pointer, message: problem.message }
            }
            CompileError::InvalidRegex { regex, .. } => Self::Pattern(regex.clone()),
            other => Self::Other(other.to_string().replace(PLACE, "")),
        }
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// Collects the problems at the leaves. A choice between schemas is one problem: which of them was meant nobody knows.
fn collect(error: &ValidationError<'_, '_>, most: usize, problems: &mut Vec<SchemaProblem>) {
    if problems.len() >= most {
        return;
    }
    let choice = matches!(error.kind, ErrorKind::AnyOf | ErrorKind::OneOf(_));
    if !choice && !error.causes.is_empty() {
        error.causes.iter().for_each(|cause| collect(cause, most, problems));
        return;
    }
    let pointer = error.instance_location.to_string();
    let message = forms(error, &pointer).unwrap_or_else(|| message(&error.kind));
    let problem = SchemaProblem { pointer, message };
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// Says what the forms are that a value has a choice of, where each can be said in a few words.
fn forms(error: &ValidationError<'_, '_>, place: &str) -> Option<String> {
    let mut found = Vec::new();
    error.causes.iter().for_each(|cause| collect(cause, MAX_FORMS + 1, &mut found));
    let short = (1..=MAX_FORMS).contains(&found.len()) && found.iter().all(|form| form.pointer == place);
    short.then(|| join(found.into_iter().map(|form| form.message), " or "))
}

/// Says what a value must be. Values of the schema are the contract's and may be told, those of the request never are.
fn message(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::Type { want, .. } => format!("must be {}", join(want.iter().map(type_name), " or ")),
        ErrorKind::Enum { want } => {
            format!("must be one of {}", join(want.iter().map(|value| format!("`{value}`")), ", "))
        }
        ErrorKind::Const { want } => format!("must be `{want}`"),
        ErrorKind::Format { want, .. } => format!("must have the format `{want}`"),
        ErrorKind::Required { want } => format!("must have {}", names(want)),
        ErrorKind::Dependency { prop, missing } | ErrorKind::DependentRequired { prop, missing } => {
            format!("must have {} beside `{prop}`", names(missing))
        }
        ErrorKind::AdditionalProperties { got } => {
            let got: Vec<String> = got.iter().map(|name| name.chars().take(100).collect()).collect();
            format!("must not have {}", names(&got))
        }
        ErrorKind::PropertyName { .. } => "has a member whose name is not allowed".to_owned(),
        ErrorKind::MinProperties { want, .. } => format!("must have at least {want} members"),
        ErrorKind::MaxProperties { want, .. } => format!("must have at most {want} members"),
        ErrorKind::MinItems { want, .. } => format!("must have at least {want} elements"),
        ErrorKind::MaxItems { want, .. } => format!("must have at most {want} elements"),
        ErrorKind::Contains => "must have an element of the kind that is asked for".to_owned(),
        ErrorKind::MinContains { want, .. } => {
            format!("must have at least {want} elements of the kind that is asked for")
        }
        ErrorKind::MaxContains { want, .. } => {
            format!("must have at most {want} elements of the kind that is asked for")
        }
        ErrorKind::UniqueItems { got: [one, two] } => format!("must not have equal elements, as at {one} and {two}"),
        ErrorKind::AdditionalItems { got } => format!("has {got} elements too many"),
        ErrorKind::MinLength { want, .. } => format!("must have at least {want} characters"),
        ErrorKind::MaxLength { want, .. } => format!("must have at most {want} characters"),
        ErrorKind::Pattern { want, .. } => format!("must match `{want}`"),
        ErrorKind::Minimum { want, .. } => format!("must be at least {want}"),
        ErrorKind::Maximum { want, .. } => format!("must be at most {want}"),
        ErrorKind::ExclusiveMinimum { want, .. } => format!("must be more than {want}"),
        ErrorKind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        ErrorKind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        ErrorKind::AnyOf | ErrorKind::OneOf(None) => "must fit one of the forms that the schema has for it".to_owned(),
        ErrorKind::OneOf(Some(_)) => "must fit only one of the forms that the schema has for it".to_owned(),
        ErrorKind::Not => "must not have the form that the schema excludes".to_owned(),
        ErrorKind::FalseSchema => "must not be there".to_owned(),
        _ => "does not fit the schema".to_owned(),
    }
}

fn type_name(kind: Type) -> String {
    match kind {
        Type::Null => "null",
        Type::Boolean => "true or false",
        Type::Number => "a number",
        Type::Integer => "a whole number",
        Type::String => "a string",
        Type::Array => "a list",
        Type::Object => "an object",
    }
    .to_owned()
}

fn names(names: &[impl AsRef<str>]) -> String {
    join(names.iter().map(|name| format!("`{}`", name.as_ref())), ", ")
}

fn join(words: impl Iterator<Item = String>, between: &str) -> String {
    let mut words: Vec<String> = words.take(MAX_LISTED + 1).collect();
    if words.len() > MAX_LISTED {
        words.truncate(MAX_LISTED);
        words.push("…".to_owned());
    }
    words.join(between)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: &Value, value: &Value) -> Vec<String> {
        let schema = JsonSchema::new(schema).unwrap().unwrap();
        let problems = schema.problems(value, 3).into_iter();
        problems.map(|problem| format!("{} {}", problem.pointer, problem.message)).collect()
    }

    #[test]
    fn schemas_that_allow_everything_are_none() {
        for schema in [json!({}), json!(true), json!(null)] {
            assert!(JsonSchema::new(&schema).unwrap().is_none());
        }
        assert_eq!(problems(&json!(false), &json!(1)), [" must not be there"]);
    }

    #[test]
    fn problems_have_places_and_no_values() {
        let schema = json!({
            "$defs": {"age": {"type": "integer", "minimum": 0, "maximum": 150}},
            "type": "object", "required": ["name", "age"], "unevaluatedProperties": false,
            "properties": {
                "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"}, "age": {"$ref": "#/$defs/age"},
                "mail": {"format": "email"}, "day": {"format": "date"}, "kind": {"enum": ["a", "b"]},
                "a/b": {"anyOf": [{"type": "string"}, {"type": "null"}]}
            },
        });
        assert_eq!(problems(&schema, &json!({"name": "abc", "age": 3, "mail": "a@b.c", "day": "2026-11-27"})), [""; 0]);
        for (value, expected) in [
            (json!([]), " must be an object"),
            (json!({"name": "secret"}), " must have `age`"),
            (json!({"name": "x", "age": 3.5}), "/age must be a whole number"),
            (json!({"name": "x", "age": 900}), "/age must be at most 150"),
            (json!({"name": "SECRET", "age": 1}), "/name must match `^[a-z]+$`"),
            (json!({"name": "x", "age": 1, "mail": "secret"}), "/mail must have the format `email`"),
            (json!({"name": "x", "age": 1, "day": "2026-02-30"}), "/day must have the format `date`"),
            (json!({"name": "x", "age": 1, "kind": "secret"}), "/kind must be one of `\"a\"`, `\"b\"`"),
            (json!({"name": "x", "age": 1, "a/b": 7}), "/a~1b must be a string or must be null"),
            (json!({"name": "x", "age": 1, "more": 7}), "/more must not be there"),
        ] {
            let found = problems(&schema, &value);
            assert!(found.iter().any(|found| found == expected), "{value}: {found:?}");
            assert!(found.iter().all(|found| !found.to_lowercase().contains("secret")), "{found:?}");
        }
        assert_eq!(problems(&json!({"items": {"type": "null"}}), &json!([1, 2, 3, 4, 5])).len(), 3);
    }

    #[test]
    fn wrong_schemas_are_refused_with_their_place() {
        for (schema, expected) in [
            (json!({"type": "strnig"}), "`/type` must"),
            (json!({"properties": {"x": {"minimum": "1"}}}), "`/properties/x/minimum` must be a number"),
            (json!({"$ref": "https://example.org/schema"}), "another document, `https://example.org/schema`"),
            (json!({"$ref": "file:///etc/passwd"}), "another document, `file:///etc/passwd`"),
            (json!({"$ref": "#/$defs/nothing"}), "nothing"),
            (json!({"pattern": "("}), "`/pattern` must have the format `regex`"),
        ] {
            let error = JsonSchema::new(&schema).unwrap_err().to_string();
            assert!(error.contains(expected), "{schema}: {error}");
        }
    }

    #[test]
    fn a_huge_value_is_refused_before_it_is_looked_at() {
        let found = problems(&json!({"items": {"type": "null"}}), &json!(vec![0; MAX_VALUES]));
        assert_eq!(found, [" must consist of at most 1048576 values"]);
    }
}
