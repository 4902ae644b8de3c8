//! The `endpoints` section: what can be called, and the data that goes in and out.

use std::collections::BTreeMap;

use super::document::Value;
use super::fallback::fallback;
use super::keys::{self, Key};
use super::names;
use super::reader::{Cursor, Fields, Read, all};
use super::text::{alternatives, shown};
use super::units;
use super::values::{fitting, json, typed};
use crate::service::json_schema::JsonSchema;
use crate::service::pattern::Pattern;
use crate::service::{
    Column, ColumnType, Data, Endpoint, Extra, IMAGE_TYPES, RESERVED_ROUTES, Task, ValidateOutput, task,
};

/// The most columns of a table, dimensions of a tensor, and elements of its fixed dimensions together.
const MAX_COLUMNS: usize = 10_000;
const MAX_DIMENSIONS: usize = 32;
const MAX_ELEMENTS: u64 = 1 << 32;

/// Reads all endpoints, by name.
pub(super) fn endpoints(cursor: Cursor<'_>) -> Read<BTreeMap<String, Endpoint>> {
    let endpoints: BTreeMap<_, _> = all(cursor.names(&names::ENDPOINT)?.map(|(name, cursor)| {
        let callable = callable(name, cursor);
        let endpoint = endpoint(cursor);
        callable?;
        Ok((name.to_owned(), endpoint?))
    }))?;
    if endpoints.is_empty() {
        return cursor.refuse_key("`endpoints` is empty", "a model without an endpoint cannot be called: name one");
    }
    Ok(endpoints)
}

/// Checks that nothing else already has an endpoint's name.
fn callable(name: &str, cursor: Cursor<'_>) -> Read<()> {
    if RESERVED_ROUTES.contains(&name) {
        let hint = "the server answers that path itself: choose another name, such as `predict`";
        return cursor.refuse_key(format!("the endpoint name {} is reserved", shown(name)), hint);
    }
    if names::is_keyword(name) {
        let hint = "an endpoint is a method of the service file: choose another name, such as `predict`";
        return cursor.refuse_key(format!("the endpoint name {} is a word of Python or R", shown(name)), hint);
    }
    Ok(())
}

fn endpoint(cursor: Cursor<'_>) -> Read<Endpoint> {
    let fields = cursor.fields(keys::ENDPOINT)?;
    let description = fields.or("description", String::new(), Cursor::prose);
    let task = fields.or("task", Task::Custom, |cursor| cursor.choice(keys::TASKS));
    let input = fields.required("input", data);
    let output = fields.required("output", |cursor| output(cursor, task));
    let latency_ms = fields.optional("latency", units::duration);
    // Data that was refused may have had rows.
    let rows = [&input, &output].into_iter().flatten().all(has_rows) && task.unwrap_or_default().is_by_row();
    let batch = batch(&fields, rows);
    let max_batch_rows = fields.optional("max_batch_rows", |cursor| merged(cursor, batch, batch_rows));
    let max_batch_bytes = fields.optional("max_batch_bytes", |cursor| merged(cursor, batch, units::size));
    let validate_output =
        fields.or("validate_output", ValidateOutput::default(), |cursor| cursor.choice(keys::VALIDATE_OUTPUT));
    let cache_bytes = fields.optional("cache", units::size);
    let fallback = match &output {
        Ok(output) => fields.optional("fallback", |cursor| fallback(cursor, output)),
        Err(refused) => Err(*refused),
    };
    let preprocess = fields.optional("preprocess", |cursor| cursor.named(&names::FUNCTION));
    let postprocess = fields.optional("postprocess", |cursor| cursor.named(&names::FUNCTION));
    Ok(Endpoint {
        description: description?,
        task: task?,
        input: input?,
        output: output?,
        batch: batch?,
        max_batch_rows: max_batch_rows?,
        max_batch_bytes: max_batch_bytes?,
        latency_ms: latency_ms?,
        validate_output: validate_output?,
        cache_bytes: cache_bytes?,
        fallback: fallback?,
        preprocess: preprocess?,
        postprocess: postprocess?,
    })
}

/// Reads what an endpoint of this task gives.
fn output(cursor: Cursor<'_>, task: Read<Task>) -> Read<Data> {
    if let Some(extra) = cursor.peek("extra") {
        return extra.refuse_key("only an input takes `extra`", "remove it: an answer has the columns of its contract");
    }
    let output = data(cursor)?;
    match task::check(task?, &output) {
        Ok(()) => Ok(output),
        Err(error) => cursor.refuse_key(
            format!("the output does not fit the task: {error}"),
            "change the output, or write `task: custom` for results of another kind",
        ),
    }
}

/// Reads whether requests are merged; where it is left out, they are if the data has `rows`.
fn batch(fields: &Fields<'_>, rows: bool) -> Read<bool> {
    fields.or("batch", rows, |cursor| match cursor.boolean()? {
        true if !rows => cursor.refuse(
            "requests cannot be merged: each row of an answer must belong to a row of the request",
            "merging takes tables, or tensors whose first dimension is `null`, for both input and output, and no ranking or forecast",
        ),
        batch => Ok(batch),
    })
}

/// Reads a limit of merged calls, which only an endpoint that has them takes.
fn merged<'a, T>(cursor: Cursor<'a>, batch: Read<bool>, read: fn(Cursor<'a>) -> Read<T>) -> Read<T> {
    if batch? {
        return read(cursor);
    }
    cursor.refuse_key("requests of this endpoint are not merged", "only endpoints with `batch: true` take this limit")
}

/// Reads how many rows a merged call may have.
pub(super) fn batch_rows(cursor: Cursor<'_>) -> Read<u32> {
    cursor.integer(1, keys::MAX_ROWS).map(|number| u32::try_from(number).expect("the limit fits 32 bits"))
}

fn has_rows(data: &Data) -> bool {
    match data {
        Data::Table { .. } => true,
        Data::Tensor { shape, .. } => shape.first() == Some(&None),
        Data::Json { .. } | Data::Text | Data::Binary { .. } | Data::Image { .. } => false,
    }
}

fn data(cursor: Cursor<'_>) -> Read<Data> {
    let Some(kind) = cursor.peek("type") else {
        let Value::Mapping(_) = cursor.node.value else { return cursor.expected_as("a mapping", written(cursor)) };
        return cursor.refuse_key("missing field `type`", expected_types());
    };
    let fields = |keys: &'static [Key]| cursor.fields(keys);
    match kind.choice::<String>(keys::DATA_TYPES)?.as_str() {
        "table" => table(fields(keys::TABLE)?),
        "tensor" => tensor(fields(keys::TENSOR)?),
        "json" => fields(keys::JSON)?.or("schema", empty_schema(), schema).map(|schema| Data::Json { schema }),
        "text" => fields(keys::TEXT).map(|_| Data::Text),
        "image" => image(fields(keys::IMAGE_DATA)?),
        _ => {
            let read = |cursor: Cursor<'_>| cursor.named(&names::MEDIA_TYPE);
            let media_type = fields(keys::BINARY)?.or("mediaType", "application/octet-stream".to_owned(), read);
            media_type.map(|media_type| Data::Binary { media_type })
        }
    }
}

/// How data is written, for who wrote no mapping.
fn written(cursor: Cursor<'_>) -> String {
    match cursor.scalar() {
        Some("table") | None => "write `{type: table, columns: {x: number}}`".to_owned(),
        Some("tensor") => "write `{type: tensor, dtype: float64, shape: [null, 4]}`".to_owned(),
        Some(kind) if keys::DATA_TYPES.contains(&kind) => format!("write `{{type: {kind}}}`"),
        Some(_) => format!("write `{{type: text}}`, or another type; {}", expected_types()),
    }
}

fn table(fields: Fields<'_>) -> Read<Data> {
    let columns = fields.required("columns", columns);
    let extra = fields.or("extra", Extra::default(), |cursor| cursor.choice(keys::EXTRA));
    Ok(Data::Table { columns: columns?, extra: extra? })
}

fn image(fields: Fields<'_>) -> Read<Data> {
    let usual = IMAGE_TYPES[..2].iter().map(|media_type| (*media_type).to_owned()).collect();
    let media_types: Vec<String> = fields.or("mediaTypes", usual, |cursor| {
        let types: Vec<String> = all(cursor.texts()?.map(|item| item.choice(IMAGE_TYPES)))?;
        if types.is_empty() {
            cursor.refuse("`mediaTypes` is empty", "write `[image/png]`, or leave it out")
        } else {
            Ok(types)
        }
    })?;
    Ok(Data::Image { media_types })
}

fn expected_types() -> String {
    format!("expected {}", alternatives(keys::DATA_TYPES.iter().copied()))
}

fn empty_schema() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

fn schema(cursor: Cursor<'_>) -> Read<serde_json::Value> {
    let schema = json(cursor.node);
    if !schema.is_object() && !schema.is_boolean() {
        return cursor.expected("a JSON Schema");
    }
    match JsonSchema::new(&schema) {
        Ok(_) => Ok(schema),
        Err(error) => {
            cursor.refuse_key(format!("the schema is wrong: {error}"), "JSON Schema 2020-12 is what is taken")
        }
    }
}

fn tensor(fields: Fields<'_>) -> Read<Data> {
    let dtype = fields.required("dtype", |cursor| cursor.choice(keys::DTYPES));
    let shape = fields.required("shape", shape);
    Ok(Data::Tensor { dtype: dtype?, shape: shape? })
}

/// Whether arrays may have this shape.
pub(super) fn is_shape(shape: &[Option<u64>]) -> bool {
    (1..=MAX_DIMENSIONS).contains(&shape.len())
        && shape.iter().flatten().all(|length| (1..=keys::MAX_DIMENSION).contains(length))
        && has_countable_elements(shape)
}

fn has_countable_elements(shape: &[Option<u64>]) -> bool {
    let elements = shape.iter().flatten().try_fold(1_u64, |product, length| product.checked_mul(*length));
    elements.is_some_and(|elements| elements <= MAX_ELEMENTS)
}

fn shape(cursor: Cursor<'_>) -> Read<Vec<Option<u64>>> {
    let shape: Vec<Option<u64>> = all(cursor.items()?.map(dimension))?;
    if shape.is_empty() || shape.len() > MAX_DIMENSIONS {
        return cursor.refuse(
            format!("a tensor has 1 to {MAX_DIMENSIONS} dimensions"),
            "write one length for each, such as `[null, 16]`",
        );
    }
    if !has_countable_elements(&shape) {
        return cursor.refuse("the tensor is too large", format!("at most {MAX_ELEMENTS} elements are taken"));
    }
    Ok(shape)
}

fn dimension(cursor: Cursor<'_>) -> Read<Option<u64>> {
    if cursor.node.is_null() || cursor.scalar() == Some("-1") {
        return Ok(None);
    }
    cursor.integer_or(1, keys::MAX_DIMENSION, ", or `null` for a size that varies").map(Some)
}

fn columns(cursor: Cursor<'_>) -> Read<Vec<Column>> {
    let columns: Vec<Column> = all(cursor.names(&names::COLUMN)?.map(|(name, cursor)| column(name, cursor)))?;
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return cursor
            .refuse_key(format!("a table has 1 to {MAX_COLUMNS} columns"), "write each as `name: {type: number}`");
    }
    Ok(columns)
}

fn column(name: &str, cursor: Cursor<'_>) -> Read<Column> {
    if cursor.scalar().is_some() {
        return categorical(cursor, bare(name, cursor.choice(keys::COLUMN_TYPES)?));
    }
    let fields = cursor.fields(keys::COLUMN_FIELDS)?;
    let kind = fields.required("type", |cursor| cursor.choice(keys::COLUMN_TYPES));
    let nullable = fields.or("nullable", false, Cursor::boolean);
    let description = fields.or("description", String::new(), Cursor::prose);
    let column = limited(&fields, Column { nullable: nullable.unwrap_or(true), ..bare(name, kind?) })?;
    // Only now is it known what fits the column.
    let default = fields.optional("default", |cursor| fitting(cursor, &column));
    let example = fields.optional("example", |cursor| fitting(cursor, &column));
    let column = categorical(cursor, column);
    Ok(Column {
        nullable: nullable?,
        description: description?,
        default: default?,
        example: example?.filter(|example| !example.is_null()),
        ..column?
    })
}

/// A column with a name and a type, and no limits.
pub(super) fn bare(name: &str, kind: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable: false,
        default: None,
        example: None,
        description: String::new(),
        choices: Vec::new(),
        minimum: None,
        maximum: None,
        max_length: None,
        pattern: None,
    }
}

/// Reads the limits of a column's values.
fn limited(fields: &Fields<'_>, column: Column) -> Read<Column> {
    let kind = column.kind;
    let choices = fields.or("enum", Vec::new(), |cursor| choices(cursor, kind));
    let minimum = fields.optional("minimum", |cursor| bound(cursor, kind));
    let maximum = fields.optional("maximum", |cursor| {
        let maximum = bound(cursor, kind)?;
        match minimum {
            Ok(Some(minimum)) if minimum > maximum => {
                cursor.refuse("`maximum` is less than `minimum`", "no value fits: raise one or lower the other")
            }
            _ => Ok(maximum),
        }
    });
    let max_length = fields.optional("maxLength", |cursor| match kind {
        ColumnType::String => cursor.integer(1, keys::MAX_TEXT_LENGTH),
        _ => unlimited(cursor, "string"),
    });
    let pattern = fields.optional("pattern", |cursor| match kind {
        ColumnType::String => pattern(cursor),
        _ => unlimited(cursor, "string"),
    });
    let (choices, minimum, maximum) = (choices?, minimum?, maximum?);
    Ok(Column { choices, minimum, maximum, max_length: max_length?, pattern: pattern?, ..column })
}

fn pattern(cursor: Cursor<'_>) -> Read<String> {
    let pattern = cursor.line()?;
    match Pattern::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => cursor.refuse(
            format!("`pattern` is no regular expression that is taken: {error}"),
            "write it as for JavaScript, without look-around and references",
        ),
    }
}

fn bound(cursor: Cursor<'_>, kind: ColumnType) -> Read<f64> {
    match kind {
        ColumnType::Integer | ColumnType::Number => cursor.number(),
        _ => unlimited(cursor, "number"),
    }
}

fn unlimited<T>(cursor: Cursor<'_>, kind: &str) -> Read<T> {
    cursor.refuse_key(format!("only {kind} columns take this limit"), "remove it, or change the column's `type`")
}

fn choices(cursor: Cursor<'_>, kind: ColumnType) -> Read<Vec<serde_json::Value>> {
    let choices: Vec<serde_json::Value> = all(cursor.items()?.map(|item| typed(item, kind)))?;
    if choices.is_empty() {
        return cursor.refuse("`enum` is empty", "no value fits: write the values allowed");
    }
    let mut sorted: Vec<String> = choices.iter().map(ToString::to_string).collect();
    sorted.sort();
    if let Some([twice, _]) = sorted.array_windows().find(|[one, next]| one == next) {
        return cursor.refuse(format!("`enum` holds {} twice", shown(twice)), "write each value once");
    }
    Ok(choices)
}

fn categorical(cursor: Cursor<'_>, column: Column) -> Read<Column> {
    if column.kind == ColumnType::Category && column.choices.is_empty() {
        let hint = "write the levels in order, such as `{type: category, enum: [low, high]}`";
        return cursor.refuse_key("a category column needs `enum`", hint);
    }
    Ok(column)
}
