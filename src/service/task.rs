//! Tasks: what an endpoint that has one gives, so that every protocol can offer the result in its own form.
//!
//! | task | the output is | and may have |
//! |---|---|---|
//! | classification | a table with a column for the label (text or category), or a number column for each class | one number column, the label's score; or one for each level of the label's `enum`, named like it |
//! | regression | a table with a number column, the value | number columns `lower` and `upper` |
//! | ranking | a table with a column for the item (text, category or whole number) and a number column, its score; best first | |
//! | anomaly | a table with a number column, the score | a boolean column, the verdict |
//! | clustering | a table with a column for the cluster (whole number, text or category) | a number column, the distance |
//! | forecast | a table with a column for the time (date, moment or whole number) and a number column, the value | number columns `lower` and `upper` |
//! | embedding | a tensor of floats with two dimensions, the second of fixed length | |
//!
//! Where several columns would do, it is the first. Further columns are the endpoint's own.

use super::{Column, ColumnType, Data, Dtype, Task};

/// The output is not what its task gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{task}` gives {expected}")]
pub struct TaskError {
    /// The task, as the manifest writes it.
    pub task: &'static str,
    /// What it gives.
    pub expected: &'static str,
}

/// The columns of an output that play a part in standard results, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The classes, where it could be a classification.
    pub classes: Option<Classes>,
    /// The value, where it could be a regression.
    pub value: Option<usize>,
    /// The score by which rows are in order, highest first, where it is a ranking.
    pub order: Option<usize>,
}

/// Where a classification's classes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classes {
    /// In a column, with the score of each in another one.
    Label {
        /// The column of the labels.
        label: usize,
        /// The column of their scores.
        score: Option<usize>,
    },
    /// Each class is a column of scores with its name.
    Columns(Vec<usize>),
}

impl Task {
    /// Returns whether each row of an answer belongs to a row of the request, so that requests can be merged by row.
    pub fn is_by_row(self) -> bool {
        !matches!(self, Self::Ranking | Self::Forecast)
    }
}

/// Finds the columns of an output that play a part. Classes and a value may be asked for whatever the task is.
pub fn roles(task: Task, output: &Data) -> Roles {
    let Data::Table { columns, .. } = output else { return Roles::default() };
    let order = first(columns, is_float).filter(|_| task == Task::Ranking);
    Roles { classes: classes(columns), value: first(columns, is_number), order }
}

/// Checks that an output is what its task gives.
pub fn check(task: Task, output: &Data) -> Result<(), TaskError> {
    let columns = match output {
        Data::Table { columns, .. } => columns.as_slice(),
        _ => &[],
    };
    let has = |wanted: fn(&Column) -> bool| first(columns, wanted).is_some();
    let interval = has(|column| column.name == "lower") == has(|column| column.name == "upper");
    let (fits, task, expected) = match task {
        Task::Custom => return Ok(()),
        Task::Classification => (
            classes(columns).is_some(),
            "classification",
            "a table with a text or category column for the label, or with a number column for each class",
        ),
        Task::Regression => (
            has(is_number) && interval,
            "regression",
            "a table with a number column for the value, and `lower` and `upper` together or not at all",
        ),
        Task::Ranking => (
            has(is_item) && has(is_float),
            "ranking",
            "a table with a text, category or integer column for the item and a number column for its score",
        ),
        Task::Anomaly => (has(is_float), "anomaly", "a table with a number column for the score"),
        Task::Clustering => {
            (has(is_item), "clustering", "a table with an integer, text or category column for the cluster")
        }
        Task::Forecast => (
            has(is_time) && has(is_float) && interval,
            "forecast",
            "a table with a date, datetime or integer column for the time and a number column for the value, \
            and `lower` and `upper` together or not at all",
        ),
        Task::Embedding => (
            is_vectors(output),
            "embedding",
            "a tensor of float32 or float64 with two dimensions, such as `[null, 384]`",
        ),
    };
    if fits { Ok(()) } else { Err(TaskError { task, expected }) }
}

fn classes(columns: &[Column]) -> Option<Classes> {
    let named = |name: &str| columns.iter().position(|column| column.name == name && is_float(column));
    let Some(label) = first(columns, is_text) else {
        let scores: Vec<usize> = (0..columns.len()).filter(|&position| is_float(&columns[position])).collect();
        return (scores.len() > 1).then_some(Classes::Columns(scores));
    };
    let levels: Option<Vec<usize>> = columns[label].choices.iter().map(|level| named(level.as_str()?)).collect();
    Some(match levels {
        Some(scores) if !scores.is_empty() => Classes::Columns(scores),
        _ => Classes::Label { label, score: first(columns, is_float) },
    })
}

fn first(columns: &[Column], wanted: fn(&Column) -> bool) -> Option<usize> {
    columns.iter().position(wanted)
}

fn is_text(column: &Column) -> bool {
    matches!(column.kind, ColumnType::String | ColumnType::Category)
}

fn is_float(column: &Column) -> bool {
    column.kind == ColumnType::Number
}

fn is_number(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Number | ColumnType::Integer)
}

fn is_item(column: &Column) -> bool {
    is_text(column) || column.kind == ColumnType::Integer
}

fn is_time(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Date | ColumnType::Datetime | ColumnType::Integer)
}

fn is_vectors(output: &Data) -> bool {
    let Data::Tensor { dtype, shape } = output else { return false };
    matches!(dtype, Dtype::Float32 | Dtype::Float64) && matches!(shape.as_slice(), [_, Some(_)])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table(columns: &[(&str, &str, Value)]) -> Data {
        let column = |(name, kind, choices): &(&str, &str, Value)| {
            json!({"name": name, "type": kind, "nullable": false, "example": null, "description": "", "enum": choices,
                "minimum": null, "maximum": null, "max_length": null})
        };
        let columns: Vec<Value> = columns.iter().map(column).collect();
        serde_json::from_value(json!({"type": "table", "columns": columns})).unwrap()
    }

    fn plain(columns: &[(&str, &str)]) -> Data {
        table(&columns.iter().map(|&(name, kind)| (name, kind, json!([]))).collect::<Vec<_>>())
    }

    #[test]
    fn classes_are_labels_or_columns() {
        let label = Some(Classes::Label { label: 1, score: Some(0) });
        assert_eq!(
            roles(Task::Custom, &plain(&[("p", "number"), ("label", "string"), ("q", "number")])).classes,
            label
        );
        let levels = ("label", "category", json!(["no", "yes"]));
        let output = table(&[("yes", "number", json!([])), levels, ("no", "number", json!([]))]);
        assert_eq!(
            roles(Task::Custom, &output).classes,
            Some(Classes::Columns(vec![2, 0])),
            "in the order of the levels"
        );
        assert_eq!(
            roles(Task::Custom, &plain(&[("a", "number"), ("b", "number")])).classes,
            Some(Classes::Columns(vec![0, 1]))
        );
        assert_eq!(roles(Task::Custom, &plain(&[("a", "number")])).classes, None);
    }

    #[test]
    fn every_task_has_a_result() {
        let vectors = Data::Tensor { dtype: Dtype::Float32, shape: vec![None, Some(8)] };
        for (task, good, bad) in [
            (Task::Classification, plain(&[("label", "string")]), plain(&[("x", "number")])),
            (Task::Regression, plain(&[("y", "integer")]), plain(&[("y", "number"), ("lower", "number")])),
            (Task::Ranking, plain(&[("id", "integer"), ("score", "number")]), plain(&[("id", "string")])),
            (Task::Anomaly, plain(&[("score", "number")]), plain(&[("score", "boolean")])),
            (Task::Clustering, plain(&[("cluster", "integer")]), plain(&[("cluster", "number")])),
            (Task::Forecast, plain(&[("day", "date"), ("y", "number")]), plain(&[("y", "number")])),
            (Task::Embedding, vectors, plain(&[("x", "number")])),
        ] {
            assert_eq!(check(task, &good), Ok(()), "{task:?}");
            assert!(check(task, &bad).is_err() && check(task, &Data::Text).is_err(), "{task:?}");
            assert_eq!(check(Task::Custom, &bad), Ok(()));
        }
    }
}
