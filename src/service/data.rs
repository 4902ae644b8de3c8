//! What endpoints take and give: tables with their columns, tensors, JSON, text and files.

use serde::{Deserialize, Serialize};

use super::present;

/// The form of an endpoint's input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Data {
    /// Rows with named, typed columns, in this order.
    Table {
        /// The columns; names are unique.
        columns: Vec<Column>,
        /// What happens to other columns of a request.
        #[serde(default, skip_serializing_if = "Extra::is_forbid")]
        extra: Extra,
    },
    /// A numeric array.
    Tensor {
        /// The elements' type.
        dtype: Dtype,
        /// The length of each dimension, or `None` where it may vary. The first one is the batch where batching is on.
        shape: Vec<Option<u64>>,
    },
    /// Any JSON value that fits the JSON Schema (2020-12); an empty schema takes all.
    Json {
        /// The schema.
        schema: serde_json::Value,
    },
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary {
        /// Their media type.
        media_type: String,
    },
    /// A picture.
    Image {
        /// The media types taken, of [`IMAGE_TYPES`]; an answer has the first.
        media_types: Vec<String>,
    },
}

/// The media types of pictures that are known by their first bytes.
pub const IMAGE_TYPES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What happens to columns of a request that the contract does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extra {
    /// The request is refused.
    #[default]
    Forbid,
    /// They are left out.
    Ignore,
}

impl Extra {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_forbid(&self) -> bool {
        *self == Self::Forbid
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The name, unique in its table.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a value may be missing (JSON `null`).
    pub nullable: bool,
    /// The value taken where a row leaves the column out, which may be `null`; without one the column is required.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default: Option<serde_json::Value>,
    /// A value to show in documents and examples.
    pub example: Option<serde_json::Value>,
    /// What it means, in the user's words; may be empty.
    pub description: String,
    /// The values allowed; for a category, its levels in order.
    #[serde(rename = "enum")]
    pub choices: Vec<serde_json::Value>,
    /// The smallest number allowed.
    pub minimum: Option<f64>,
    /// The largest number allowed.
    pub maximum: Option<f64>,
    /// The longest text allowed, in characters.
    pub max_length: Option<u64>,
    /// A regular expression that texts must match somewhere, as in JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Number,
    /// True or false.
    Boolean,
    /// A day: `2026-11-23`.
    Date,
    /// A moment: RFC 3339, `2026-11-23T16:09:31Z`.
    Datetime,
    /// One of the levels given as `enum`.
    Category,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it: kind and bits")]
pub enum Dtype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
}
