//! A compiled schema: nodes in one list, each with what it asks of a value itself and of the schemas below it.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::decimal;
use super::format::Format;
use crate::service::pattern::Pattern;

/// A node's place in the list.
pub(super) type NodeId = usize;
/// A schema resource: the root, or a schema with an `$id`.
pub(super) type ResourceId = usize;

/// All nodes of a schema. The root is the first.
#[derive(Default)]
pub(super) struct Program {
    pub(super) nodes: Vec<Node>,
    /// What each `$dynamicRef` leads to, by the resources that have its anchor.
    pub(super) dynamics: Vec<Vec<(ResourceId, NodeId)>>,
}

/// One schema.
#[derive(Default)]
pub(super) struct Node {
    pub(super) resource: ResourceId,
    /// What the value itself must be, in the order in which problems are told.
    pub(super) assertions: Vec<Assertion>,
    /// The schemas that hold for it or for what is in it.
    pub(super) applicators: Vec<Applicator>,
    /// What holds for elements that no other schema has looked at.
    pub(super) unevaluated_items: Option<NodeId>,
    /// What holds for members that no other schema has looked at.
    pub(super) unevaluated_properties: Option<NodeId>,
}

/// What a value must be, whatever is below it. All but the first three hold for one type of value only.
pub(super) enum Assertion {
    /// Nothing fits.
    Never,
    Type(Types),
    /// `enum` and `const`.
    Choice {
        sorted: Vec<Value>,
        listed: String,
        single: bool,
    },
    Limit {
        kind: Limit,
        number: Number,
    },
    MultipleOf(Number),
    Length {
        least: u64,
        most: u64,
    },
    Pattern(Pattern),
    Format(&'static Format),
    ItemCount {
        least: u64,
        most: u64,
    },
    UniqueItems,
    PropertyCount {
        least: u64,
        most: u64,
    },
    Required(Vec<String>),
    DependentRequired(Vec<(String, Vec<String>)>),
}

/// Schemas that hold for a value, or for what is in it.
pub(super) enum Applicator {
    /// `$ref`, and a `$dynamicRef` that leads to one place only.
    Reference(NodeId),
    /// A `$dynamicRef`, by its place in the list.
    Dynamic(usize),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If {
        condition: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    DependentSchemas(Vec<(String, NodeId)>),
    /// `prefixItems` and `items`.
    Items {
        first: Vec<NodeId>,
        rest: Option<NodeId>,
    },
    Contains {
        node: NodeId,
        least: u64,
        most: u64,
    },
    PropertyNames(NodeId),
    Properties(Properties),
}

/// `properties` (sorted by name), `patternProperties` and `additionalProperties`.
#[derive(Default)]
pub(super) struct Properties {
    pub(super) named: Vec<(String, NodeId)>,
    pub(super) patterns: Vec<(Pattern, NodeId)>,
    pub(super) additional: Option<NodeId>,
    /// Whether `additionalProperties` is `false`.
    pub(super) closed: bool,
}

/// A limit of numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Minimum,
    ExclusiveMinimum,
    Maximum,
    ExclusiveMaximum,
}

/// A set of types, one bit each.
#[derive(Clone, Copy)]
pub(super) struct Types(u8);

/// The types by their names, and by what a value of each is called.
const TYPES: [(&str, &str); 7] = [
    ("array", "a list"),
    ("boolean", "true or false"),
    ("integer", "a whole number"),
    ("null", "null"),
    ("number", "a number"),
    ("object", "an object"),
    ("string", "a string"),
];

impl Types {
    pub(super) fn named(name: &str) -> Option<Self> {
        TYPES.iter().position(|(known, _)| *known == name).map(|bit| Self(1 << bit))
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(name, _)| *name)
    }

    pub(super) fn all(types: impl IntoIterator<Item = Self>) -> Self {
        Self(types.into_iter().fold(0, |all, one| all | one.0))
    }

    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        (0..TYPES.len()).filter(move |bit| self.0 & 1 << bit != 0).map(|bit| TYPES[bit].1)
    }

    fn has(self, value: &Value) -> bool {
        let bits = match value {
            Value::Array(_) => 1,
            Value::Bool(_) => 1 << 1,
            // Where any number will do, nobody asks for its fraction.
            Value::Number(number) if self.0 & 1 << 4 == 0 && decimal::is_whole(number) => 1 << 2,
            Value::Number(_) => 1 << 4,
            Value::Null => 1 << 3,
            Value::Object(_) => 1 << 5,
            Value::String(_) => 1 << 6,
        };
        self.0 & bits != 0
    }
}

impl Limit {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Minimum => order.is_ge(),
            Self::ExclusiveMinimum => order.is_gt(),
            Self::Maximum => order.is_le(),
            Self::ExclusiveMaximum => order.is_lt(),
        }
    }
}

impl Assertion {
    /// Returns whether it holds for a value. Strings, lists and so on are not asked what only holds for other types.
    pub(super) fn holds(&self, value: &Value) -> bool {
        let between = |count: usize, least: &u64, most: &u64| (*least..=*most).contains(&(count as u64));
        match (self, value) {
            (Self::Never, _) => false,
            (Self::Type(types), value) => types.has(value),
            (Self::Choice { sorted, .. }, value) => {
                sorted.binary_search_by(|choice| decimal::compare(choice, value)).is_ok()
            }
            (Self::Limit { kind, number }, Value::Number(value)) => {
                kind.allows(decimal::compare_numbers(value, number))
            }
            (Self::MultipleOf(divisor), Value::Number(value)) => decimal::is_multiple(value, divisor),
            (Self::Length { least, most }, Value::String(text)) => has_length(text, *least, *most),
            (Self::Pattern(pattern), Value::String(text)) => pattern.is_match(text),
            (Self::Format(format), Value::String(text)) => (format.is)(text),
            (Self::ItemCount { least, most }, Value::Array(items)) => between(items.len(), least, most),
            (Self::UniqueItems, Value::Array(items)) => equal_items(items).is_none(),
            (Self::PropertyCount { least, most }, Value::Object(members)) => between(members.len(), least, most),
            (Self::Required(names), Value::Object(members)) => names.iter().all(|name| members.contains_key(name)),
            (Self::DependentRequired(rules), Value::Object(members)) => {
                let mut there = rules.iter().filter(|(name, _)| members.contains_key(name));
                there.all(|(_, names)| names.iter().all(|name| members.contains_key(name)))
            }
            _ => true,
        }
    }
}

/// Characters are code points of Unicode; each takes one to four bytes.
fn has_length(text: &str, least: u64, most: u64) -> bool {
    let bytes = text.len() as u64;
    if bytes < least || bytes.div_ceil(4) > most {
        return false;
    }
    let is_surely = bytes.div_ceil(4) >= least && bytes <= most;
    is_surely || (least..=most).contains(&(text.chars().count() as u64))
}

/// Returns the places of two equal elements.
pub(super) fn equal_items(items: &[Value]) -> Option<(usize, usize)> {
    const FEW: usize = 8;
    if items.len() <= FEW {
        let mut pairs = (0..items.len()).flat_map(|one| (one + 1..items.len()).map(move |other| (one, other)));
        return pairs.find(|&(one, other)| decimal::compare(&items[one], &items[other]).is_eq());
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&one, &other| decimal::compare(&items[one], &items[other]));
    let mut pairs = order.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.find(|&(one, other)| decimal::compare(&items[one], &items[other]).is_eq())
}
