//! JSON Schema (draft 2020-12) of JSON inputs and outputs: checked when the manifest is read, used when the server runs.
//!
//! Everything stands in the schema itself: other documents are never loaded. The vocabularies of the draft are known, all of them;
//! a schema that declares another metaschema is refused. Formats that the draft has are asserted, contents are not looked into.
//! Messages say what a value must be, never what it was.
//!
//! A schema becomes a list of nodes once ([`compile`]), and values are held against the nodes ([`evaluate`]).

mod compile;
mod decimal;
mod endless;
mod evaluate;
mod format;
mod keywords;
mod library;
mod members;
mod message;
mod node;
mod uri;
mod visit;
mod work;

use serde_json::Value;

use self::node::Program;

/// A schema made ready for use.
pub struct JsonSchema(Program);

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
}

impl JsonSchema {
    /// Checks a schema; `None` is one that allows everything.
    pub fn new(schema: &Value) -> Result<Option<Self>, SchemaError> {
        let allows_all = match schema {
            Value::Null | Value::Bool(true) => true,
            schema => schema.as_object().is_some_and(serde_json::Map::is_empty),
        };
        if allows_all { Ok(None) } else { Self::with_documents(schema, &[]).map(Some) }
    }

    /// Checks a schema whose references may also name these documents, by their URIs.
    pub fn with_documents(schema: &Value, documents: &[(String, Value)]) -> Result<Self, SchemaError> {
        compile::compile(schema, documents).map(Self)
    }

    /// Returns what is wrong with a value: nothing, or up to `most` problems.
    pub fn problems(&self, value: &Value, most: usize) -> Vec<SchemaProblem> {
        evaluate::problems(&self.0, value, most)
    }
}

impl std::fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonSchema").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
