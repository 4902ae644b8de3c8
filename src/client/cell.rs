//! The text of a CSV cell as a JSON value of the column's type.

use serde_json::Value;

use super::operation::{Column, Kind};

/// Converts a cell; `None` leaves the column out of the row, so that its default is taken. Fails with what the cell is not.
///
/// Missing values are written as nothing, or as `NA` where that is no text. Dates and times may be written as pandas and R do.
pub(super) fn convert(column: &Column, text: &str) -> Result<Option<Value>, String> {
    let is_missing = text.is_empty() || (column.kind != Kind::Text && text == "NA");
    if is_missing && !column.required {
        return Ok(None);
    }
    if is_missing && column.nullable {
        return Ok(Some(Value::Null));
    }
    if is_missing && column.kind != Kind::Text {
        return Err("a value is missing".to_owned());
    }
    let value = match column.kind {
        Kind::Text => Some(Value::from(text)),
        Kind::Integer => integer(text),
        Kind::Number => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Kind::Boolean => boolean(text),
        Kind::Date => Some(Value::from(text.split_once([' ', 'T']).map_or(text, |(day, _)| day))),
        Kind::Datetime => Some(Value::from(moment(text))),
    };
    value.map(Some).ok_or_else(|| format!("`{}` is not {}", short(text), name(column.kind)))
}

fn integer(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    // Data frames write whole numbers with a fraction where the column has missing values.
    let number = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
    Some(Value::from(number as i64))
}

fn boolean(text: &str) -> Option<Value> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(Value::Bool(true)),
        "false" | "0" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Puts a moment into the form of RFC 3339; one without an offset is taken as UTC.
fn moment(text: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    let Some((day, time)) = text.split_once('T') else { return format!("{text}T00:00:00Z") };
    let has_offset = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    format!("{day}T{time}{}", if has_offset { "" } else { "Z" })
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::Date => "a date",
        Kind::Datetime => "a moment",
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(kind: Kind, text: &str) -> Result<Option<Value>, String> {
        convert(&Column { name: "x".to_owned(), kind, nullable: true, required: true }, text)
    }

    #[test]
    fn cells_take_the_type_of_their_column() {
        let cases = [
            (Kind::Text, "NA", json!("NA")),
            (Kind::Text, "007", json!("007")),
            (Kind::Integer, "-7", json!(-7)),
            (Kind::Integer, "7.0", json!(7)),
            (Kind::Number, "1e-3", json!(0.001)),
            (Kind::Boolean, "TRUE", json!(true)),
            (Kind::Boolean, "0", json!(false)),
            (Kind::Date, "2026-01-31 00:00:00", json!("2026-01-31")),
            (Kind::Datetime, "2026-01-31 12:30:00", json!("2026-01-31T12:30:00Z")),
            (Kind::Datetime, "2026-01-31T12:30:00+02:00", json!("2026-01-31T12:30:00+02:00")),
            (Kind::Datetime, "2026-01-31", json!("2026-01-31T00:00:00Z")),
            (Kind::Number, "NA", Value::Null),
            (Kind::Text, "", Value::Null),
        ];
        for (kind, text, value) in cases {
            assert_eq!(cell(kind, text), Ok(Some(value)), "{kind:?} {text}");
        }
    }

    #[test]
    fn what_a_cell_is_not_is_said() {
        assert_eq!(cell(Kind::Integer, "7.5"), Err("`7.5` is not a whole number".to_owned()));
        assert_eq!(cell(Kind::Number, "inf"), Err("`inf` is not a number".to_owned()));
        assert_eq!(cell(Kind::Boolean, "yes"), Err("`yes` is not true or false".to_owned()));
        let required = Column { name: "x".to_owned(), kind: Kind::Number, nullable: false, required: true };
        assert_eq!(convert(&required, ""), Err("a value is missing".to_owned()));
        assert_eq!(convert(&Column { required: false, ..required }, ""), Ok(None));
    }
}
