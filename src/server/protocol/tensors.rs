//! How protocols that know nothing but named tensors see an endpoint: a table is one tensor for each column, everything else is
//! one tensor.

use crate::server::contract::Form;
use crate::server::data::Payload;
use crate::server::failure::{Code, Failure};
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
        Form::Json { .. } | Form::Text | Form::Binary { .. } => {
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

/// Makes sure that JSON has a form for all results.
pub(super) fn check_finite(results: &[Payload]) -> Result<(), Failure> {
    let finite = |result: &Payload| !matches!(result, Payload::Tensor(tensor) if !tensor.is_finite());
    if results.iter().all(finite) { Ok(()) } else { Err(not_finite()) }
}

/// Returns the failure of a tensor that JSON has no form for.
pub(super) fn not_finite() -> Failure {
    Failure::new(
        Code::InvalidOutput,
        "the model gave a tensor with numbers that are not finite, which JSON does not have",
    )
}

const DATATYPES: [(&str, Kind); 12] = [
    ("BOOL", Kind::Element(Dtype::Bool)),
    ("INT8", Kind::Element(Dtype::Int8)),
    ("INT16", Kind::Element(Dtype::Int16)),
    ("INT32", Kind::Element(Dtype::Int32)),
    ("INT64", Kind::Element(Dtype::Int64)),
    ("UINT8", Kind::Element(Dtype::Uint8)),
    ("UINT16", Kind::Element(Dtype::Uint16)),
    ("UINT32", Kind::Element(Dtype::Uint32)),
    ("UINT64", Kind::Element(Dtype::Uint64)),
    ("FP32", Kind::Element(Dtype::Float32)),
    ("FP64", Kind::Element(Dtype::Float64)),
    ("BYTES", Kind::Bytes),
];

/// Returns the name that the Open Inference Protocol has for a type.
pub(super) fn datatype(kind: Kind) -> &'static str {
    DATATYPES.iter().find(|(_, known)| *known == kind).expect("every type has a name").0
}

/// Finds a type by that name; half-precision numbers are not among them.
pub(super) fn parse_datatype(name: &str) -> Option<Kind> {
    DATATYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
