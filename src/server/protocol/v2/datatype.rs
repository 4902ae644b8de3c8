//! The protocol's names for types of elements.

use crate::server::protocol::tensors::Kind;
use crate::service::Dtype;

const NAMES: [(&str, Kind); 12] = [
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

/// Returns the name of a type.
pub(super) fn name(kind: Kind) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == kind).expect("every type has a name").0
}

/// Finds a type by its name; half-precision numbers are not among them.
pub(super) fn parse(name: &str) -> Option<Kind> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
