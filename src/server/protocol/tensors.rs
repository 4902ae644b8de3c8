//! How protocols that know nothing but named tensors see an endpoint: a table is one tensor for each column, everything else is
//! one tensor.

use crate::server::contract::Form;
use crate::service::{ColumnType, Dtype};

/// A tensor that an endpoint takes or gives.
pub(super) struct Described<'a> {
    /// A column's name, or `input` or `output`.
    pub(super) name: &'a str,
    /// The type of the elements.
    pub(super) kind: Kind,
    /// The length of each dimension; `None` where it may vary.
    pub(super) shape: Vec<Option<usize>>,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers, or true and false.
    Element(Dtype),
    /// Texts, or bytes.
    Bytes,
}

/// The name of the one tensor that an endpoint without columns takes.
pub(super) const INPUT: &str = "input";
/// The name of the one tensor that an endpoint without columns gives.
pub(super) const OUTPUT: &str = "output";

/// Returns the tensors of an input or output; `lone` names the one where there are no columns.
pub(super) fn describe<'a>(form: &'a Form, lone: &'static str) -> Vec<Described<'a>> {
    match form {
        Form::Table(schema) => {
            let column = |rule: &'a crate::server::contract::Rule| Described {
                name: &rule.name,
                kind: kind(rule.kind),
                shape: vec![None],
            };
            schema.rules.iter().map(column).collect()
        }
        Form::Tensor { dtype, shape } => {
            vec![Described { name: lone, kind: Kind::Element(*dtype), shape: shape.clone() }]
        }
        Form::Json | Form::Text | Form::Binary { .. } => {
            vec![Described { name: lone, kind: Kind::Bytes, shape: vec![None] }]
        }
    }
}

/// Returns the type of a tensor with a column's values. Times are texts.
pub(super) fn kind(column: ColumnType) -> Kind {
    match column {
        ColumnType::Number => Kind::Element(Dtype::Float64),
        ColumnType::Integer => Kind::Element(Dtype::Int64),
        ColumnType::Boolean => Kind::Element(Dtype::Bool),
        ColumnType::String | ColumnType::Category | ColumnType::Date | ColumnType::Datetime => Kind::Bytes,
    }
}
