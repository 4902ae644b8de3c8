//! An endpoint's contract made ready for use: columns found by name, levels by text, defaults in wire form.
//! It decides whether one value is allowed, for requests and answers alike; walking JSON is `validate`'s part.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};

use super::data::{Column, Payload};
use super::failure::{Code, Failure};
use super::validate;
use crate::service::json_schema::{JsonSchema, SchemaError};
use crate::service::task::{self, Roles, TaskError};
use crate::service::{self, ColumnType, Data, Dtype, Extra, Task, ValidateOutput};

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

/// The columns of a table.
#[derive(Debug)]
pub struct Schema {
    /// The columns in order.
    pub rules: Vec<Rule>,
    /// Whether other columns of a request are left out.
    pub ignore_extra: bool,
    index: HashMap<String, usize>,
}

/// What is allowed in one column.
#[derive(Debug)]
pub struct Rule {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub kind: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// The value where a row leaves the column out, as a column of one row.
    pub default: Option<Column>,
    /// Texts allowed, in order; empty where all are.
    pub levels: Vec<String>,
    codes: HashMap<String, i32>,
    numbers: Vec<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    max_length: Option<u64>,
    pattern: Option<Regex>,
}

/// The contract contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A name that cannot stand in a path, or that the server uses itself.
    #[error(
        "`{0}` cannot be the name of an endpoint: use letters, digits, `-` and `_`, and no name of the server's own"
    )]
    Name(String),
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
        source: Box<regex::Error>,
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

/// Paths that are the server's own.
const RESERVED: [&str; 14] = [
    "api",
    "docs",
    "health",
    "healthcheck",
    "healthz",
    "invocations",
    "livez",
    "metrics",
    "openapi",
    "ping",
    "readyz",
    "v1",
    "v2",
    "version",
];

impl Endpoint {
    /// Checks the contract of the endpoint `name`.
    pub fn new(name: &str, endpoint: &service::Endpoint) -> Result<Self, ContractError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(plain) || RESERVED.contains(&name) {
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
            roles: task::roles(&endpoint.output),
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

impl Schema {
    fn new(columns: &[service::Column], extra: Extra) -> Result<Self, ContractError> {
        let mut index = HashMap::new();
        for (position, column) in columns.iter().enumerate() {
            if index.insert(column.name.clone(), position).is_some() {
                return Err(ContractError::Twice(column.name.clone()));
            }
        }
        let rules = columns.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Self { rules, ignore_extra: extra == Extra::Ignore, index })
    }

    /// Returns the position of the column `name`; `guess` is looked at first, since rows mostly keep the order.
    pub fn position(&self, name: &str, guess: usize) -> Option<usize> {
        match self.rules.get(guess) {
            Some(rule) if rule.name == name => Some(guess),
            _ => self.index.get(name).copied(),
        }
    }

    /// Returns the column names for a message, at most ten.
    pub fn names(&self) -> String {
        list(self.rules.iter().map(|rule| rule.name.as_str()))
    }
}

impl Rule {
    fn new(column: &service::Column) -> Result<Self, ContractError> {
        let wrong = || ContractError::Choices(column.name.clone());
        let mut rule = Self {
            name: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            default: None,
            levels: Vec::new(),
            codes: HashMap::new(),
            numbers: Vec::new(),
            minimum: column.minimum,
            maximum: column.maximum,
            max_length: column.max_length,
            pattern: column.pattern.as_deref().map(|pattern| rule_pattern(&column.name, pattern)).transpose()?,
        };
        for choice in &column.choices {
            match (column.kind, choice) {
                (ColumnType::String | ColumnType::Category, Value::String(text)) => rule.levels.push(text.clone()),
                (ColumnType::Integer | ColumnType::Number, Value::Number(number)) => {
                    rule.numbers.push(number.as_f64().ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            }
        }
        if column.kind == ColumnType::Category && rule.levels.is_empty() {
            return Err(wrong());
        }
        rule.codes = rule.levels.iter().enumerate().map(|(code, level)| (level.clone(), code as i32)).collect();
        rule.default = column.default.as_ref().map(|value| rule.default_column(value)).transpose()?;
        Ok(rule)
    }

    /// Returns whether the column allows every value of its type.
    pub fn is_unlimited(&self) -> bool {
        let numbers = self.numbers.is_empty() && self.minimum.is_none() && self.maximum.is_none();
        numbers && self.levels.is_empty() && self.max_length.is_none() && self.pattern.is_none()
    }

    fn default_column(&self, value: &Value) -> Result<Column, ContractError> {
        let mut column = Column::new(self.kind, self.nullable);
        let fault = match validate::cell(self, &mut column, value) {
            Ok(fault) => fault,
            Err(_) => Err("cannot be read".to_owned()),
        };
        fault.map_err(|message| ContractError::Default { column: self.name.clone(), message })?;
        Ok(column)
    }

    /// Returns the code of a category's level.
    pub fn code(&self, level: &str) -> Option<i32> {
        self.codes.get(level).copied()
    }

    /// Says what is wrong with a text.
    pub fn check_text(&self, text: &str) -> Result<(), String> {
        if !self.levels.is_empty() && !self.codes.contains_key(text) {
            return Err(self.one_of());
        }
        match self.max_length {
            Some(longest) if text.len() as u64 > longest && text.chars().count() as u64 > longest => {
                Err(format!("must have at most {longest} characters"))
            }
            _ => match self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                Some(pattern) => Err(format!("must match `{pattern}`")),
                None => Ok(()),
            },
        }
    }

    /// Says what is wrong with a number.
    pub fn check_number(&self, number: f64) -> Result<(), String> {
        if let Some(minimum) = self.minimum.filter(|&minimum| number < minimum) {
            return Err(format!("must be at least {minimum}"));
        }
        if let Some(maximum) = self.maximum.filter(|&maximum| number > maximum) {
            return Err(format!("must be at most {maximum}"));
        }
        if !self.numbers.is_empty() && !self.numbers.contains(&number) {
            return Err(self.one_of());
        }
        Ok(())
    }

    /// Returns what a value that is not one of the choices must be.
    pub fn one_of(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(f64::to_string).collect();
        let choices = self.levels.iter().map(String::as_str).chain(numbers.iter().map(String::as_str));
        format!("must be one of {}", list(choices))
    }
}

fn rule_pattern(column: &str, pattern: &str) -> Result<Regex, ContractError> {
    let wrong = |source| ContractError::Pattern { column: column.to_owned(), source: Box::new(source) };
    Regex::new(pattern).map_err(wrong)
}

/// Lists up to ten names, each in back-ticks.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (position, name) in names.enumerate() {
        if position == 10 {
            text.push_str(", …");
            break;
        }
        let comma = if position == 0 { "" } else { ", " };
        write!(text, "{comma}`{name}`").expect("writing to a String cannot fail");
    }
    text
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
