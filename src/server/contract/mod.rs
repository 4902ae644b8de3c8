//! An endpoint's contract made ready for use: columns found by name, levels by text, defaults in wire form.
//! It decides whether one value is allowed, for requests and answers alike; walking JSON is `validate`'s part.

mod rules;

use std::time::Duration;

use serde_json::{Value, json};

use super::data::Payload;
use super::failure::{Code, Failure};
use super::validate;
use crate::service::json_schema::{JsonSchema, SchemaError};
use crate::service::pattern::PatternError;
use crate::service::task::{self, Roles, TaskError};
use crate::service::{self, Data, Dtype, RESERVED_ROUTES, Task, ValidateOutput};

pub use self::rules::{Rule, Schema};

/// An endpoint whose contract has been checked.
#[derive(Debug)]
pub struct Endpoint {
    /// The name, as in the path.
    pub name: String,
    /// What it takes.
    pub input: Form,
    /// What it gives.
    pub output: Form,
    /// Whether waiting requests may be merged by row.
    pub batch: bool,
    /// What kind of answer it gives.
    pub task: Task,
    /// What happens to an answer whose values the output does not allow.
    pub validate_output: ValidateOutput,
    /// The columns of the output that play a part in standard results.
    pub roles: Roles,
    /// The time from a request to its answer that is aimed at.
    pub latency: Option<Duration>,
    /// What is answered where no worker can answer in time; one row where the output has rows.
    pub fallback: Option<Payload>,
    /// Whether the service has functions before or after the endpoint's own.
    pub staged: bool,
}

/// The form of an input or output.
#[derive(Debug)]
pub enum Form {
    /// Rows of typed columns.
    Table(Schema),
    /// A numeric array with these dimensions; `None` where the length may vary.
    Tensor {
        /// The type of the elements.
        dtype: Dtype,
        /// The length of each dimension.
        shape: Vec<Option<usize>>,
    },
    /// A JSON value that fits the schema, or any.
    Json {
        /// The schema.
        schema: Option<JsonSchema>,
    },
    /// UTF-8 text.
    Text,
    /// Bytes of these media types.
    Binary {
        /// The media types, or ranges such as `image/*`; an answer has the first.
        media_types: Vec<String>,
        /// Whether they are a picture.
        image: bool,
    },
}

/// The contract contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A name that cannot stand in a path, or that the server uses itself.
    #[error(
        "`{0}` cannot be the name of an endpoint: use letters, digits, `-` and `_`, and no name of the server's own"
    )]
    Name(String),
    /// Two versions cannot be told apart.
    #[error("`{0}` stands for more than one version of the model")]
    Version(String),
    /// Merging by row needs rows that belong together.
    #[error("endpoint `{0}` cannot be batched: each row of its answer must belong to a row of the request")]
    Batch(String),
    /// The fallback is not an answer that the endpoint may give.
    #[error("the fallback of endpoint `{endpoint}` does not fit its output: {message}")]
    Fallback {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        message: String,
    },
    /// Two columns have one name.
    #[error("column `{0}` stands twice")]
    Twice(String),
    /// The values allowed do not fit the column's type.
    #[error("the `enum` of column `{0}` does not fit its type")]
    Choices(String),
    /// The `pattern` of a column is no regular expression.
    #[error("the `pattern` of column `{column}` is no regular expression: {source}")]
    Pattern {
        /// The column.
        column: String,
        /// What is wrong with it.
        source: Box<PatternError>,
    },
    /// The schema of a JSON value is none.
    #[error("the schema of endpoint `{endpoint}` is wrong: {source}")]
    Schema {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        source: Box<SchemaError>,
    },
    /// The output is not what the task gives.
    #[error("the output of endpoint `{endpoint}` does not fit its task: {source}")]
    Task {
        /// The endpoint.
        endpoint: String,
        /// What the task gives.
        source: TaskError,
    },
    /// The default is not allowed by the column itself.
    #[error("the default of column `{column}` {message}")]
    Default {
        /// The column.
        column: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Endpoint {
    /// Checks the contract of the endpoint `name`.
    pub fn new(name: &str, endpoint: &service::Endpoint) -> Result<Self, ContractError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(plain) || RESERVED_ROUTES.contains(&name) {
            return Err(ContractError::Name(name.to_owned()));
        }
        let (input, output) = (Form::new(name, &endpoint.input)?, Form::new(name, &endpoint.output)?);
        let by_row = input.has_rows() && output.has_rows() && endpoint.task.is_by_row();
        if endpoint.batch && !by_row {
            return Err(ContractError::Batch(name.to_owned()));
        }
        let wrong = |source| ContractError::Task { endpoint: name.to_owned(), source };
        task::check(endpoint.task, &endpoint.output).map_err(wrong)?;
        let fallback = endpoint.fallback.as_ref().map(|value| output.fallback(value)).transpose();
        let misfit =
            |failure: Failure| ContractError::Fallback { endpoint: name.to_owned(), message: failure.sentence() };
        Ok(Self {
            name: name.to_owned(),
            input,
            batch: endpoint.batch,
            task: endpoint.task,
            validate_output: endpoint.validate_output,
            roles: task::roles(endpoint.task, &endpoint.output),
            latency: endpoint.latency_ms.map(Duration::from_millis),
            fallback: fallback.map_err(misfit)?,
            staged: endpoint.preprocess.is_some() || endpoint.postprocess.is_some(),
            output,
        })
    }
}

impl Form {
    fn new(endpoint: &str, data: &Data) -> Result<Self, ContractError> {
        Ok(match data {
            Data::Table { columns, extra } => Self::Table(Schema::new(columns, *extra)?),
            Data::Tensor { dtype, shape } => {
                let shape = shape.iter().map(|length| length.map(|length| length as usize)).collect();
                Self::Tensor { dtype: *dtype, shape }
            }
            Data::Json { schema } => {
                let wrong = |source| ContractError::Schema { endpoint: endpoint.to_owned(), source: Box::new(source) };
                Self::Json { schema: JsonSchema::new(schema).map_err(wrong)? }
            }
            Data::Text => Self::Text,
            Data::Binary { media_type } => {
                Self::Binary { media_types: vec![media_type.to_ascii_lowercase()], image: false }
            }
            Data::Image { media_types } => Self::Binary { media_types: media_types.clone(), image: true },
        })
    }

    /// Reads a fallback: a row where there are rows, else the whole value.
    fn fallback(&self, value: &Value) -> Result<Payload, Failure> {
        match self {
            Self::Table(schema) => {
                validate::table(schema, json!({ "rows": [value] }).to_string().as_bytes()).map(|(table, _)| table)
            }
            Self::Tensor { dtype, shape } => {
                let value = if self.has_rows() { json!([value]) } else { value.clone() };
                validate::tensor(*dtype, shape, json!({ "tensor": value }).to_string().as_bytes())
            }
            Self::Text => match value.as_str() {
                Some(text) => Ok(Payload::Bytes(text.to_owned().into())),
                None => Err(Failure::new(Code::InvalidInput, "it must be text")),
            },
            Self::Json { .. } => validate::content(self, value.to_string().into(), ""),
            Self::Binary { .. } => Err(Failure::new(Code::InvalidInput, "bytes cannot be written in it")),
        }
    }

    /// Returns whether the data is a list of rows that calls may be cut and merged by.
    pub fn has_rows(&self) -> bool {
        match self {
            Self::Table(_) => true,
            Self::Tensor { shape, .. } => shape.first() == Some(&None),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(column: &Value, batch: bool, output: &Value) -> Result<Endpoint, ContractError> {
        let text = json!({"description": "", "task": "custom", "batch": batch, "output": output,
            "input": {"type": "table", "columns": [column]}});
        Endpoint::new("predict", &serde_json::from_value(text).unwrap())
    }

    fn column(more: &Value) -> Value {
        let mut column = json!({"name": "x", "type": "integer", "nullable": false, "example": null,
            "description": "", "enum": [], "minimum": null, "maximum": null, "max_length": null});
        column.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        column
    }

    #[test]
    fn defaults_must_be_allowed_by_their_own_column() {
        let wrong = endpoint(&column(&json!({"default": 5, "maximum": 4.0})), false, &json!({"type": "text"}));
        assert_eq!(wrong.unwrap_err().to_string(), "the default of column `x` must be at most 4");
    }

    #[test]
    fn a_category_needs_levels() {
        let wrong = endpoint(&column(&json!({"type": "category"})), false, &json!({"type": "text"}));
        assert!(matches!(wrong, Err(ContractError::Choices(name)) if name == "x"));
    }

    #[test]
    fn only_what_has_rows_is_batched() {
        assert!(matches!(endpoint(&column(&json!({})), true, &json!({"type": "text"})), Err(ContractError::Batch(_))));
        let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 2]});
        assert!(endpoint(&column(&json!({})), true, &tensor).is_ok());
    }

    #[test]
    fn a_fallback_is_a_row_of_the_output_or_all_of_it() {
        let with = |output: Value, fallback: Value| {
            let text = json!({"description": "", "task": "custom", "batch": false, "output": output,
                "input": {"type": "text"}, "fallback": fallback});
            Endpoint::new("predict", &serde_json::from_value(text).unwrap()).map(|endpoint| endpoint.fallback.unwrap())
        };
        let table = json!({"type": "table", "columns": [column(&json!({"maximum": 4.0}))]});
        assert_eq!(with(table.clone(), json!({"x": 3})).unwrap().repeat(2).rows(), 2);
        let message = with(table, json!({"x": 5})).unwrap_err().to_string();
        assert!(message.starts_with("the fallback of endpoint `predict` does not fit its output: "), "{message}");
        let tensor = |shape: Value| json!({"type": "tensor", "dtype": "uint8", "shape": shape});
        let Payload::Tensor(rows) = with(tensor(json!([null, 2])), json!([1, 2])).unwrap().repeat(2) else { panic!() };
        assert_eq!((rows.shape, rows.data), (vec![2, 2], vec![1, 2, 1, 2]));
        assert_eq!(with(tensor(json!([2])), json!([1, 2])).unwrap().size(), 2);
        assert!(with(tensor(json!([2])), json!([1])).is_err());
        assert_eq!(with(json!({"type": "json", "schema": {}}), json!(null)).unwrap(), Payload::Bytes("null".into()));
        assert!(with(json!({"type": "text"}), json!(1)).is_err());
        assert!(with(json!({"type": "binary", "media_type": "image/png"}), json!("x")).is_err());
    }

    #[test]
    fn names_of_the_server_are_refused() {
        let data = service::Endpoint {
            description: String::new(),
            task: service::Task::Custom,
            input: Data::Text,
            output: Data::Text,
            batch: false,
            validate_output: ValidateOutput::Fail,
            max_batch_rows: None,
            max_batch_bytes: None,
            latency_ms: None,
            cache_bytes: None,
            fallback: None,
            preprocess: None,
            postprocess: None,
        };
        for name in ["docs", "a/b", "{x}", "", "livez"] {
            assert!(matches!(Endpoint::new(name, &data), Err(ContractError::Name(_))), "{name}");
        }
    }
}
