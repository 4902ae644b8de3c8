//! Where a check is: the place in the value, the schemas that led there, and what they have looked at.

use serde_json::Value;

use super::library::escape;
use super::node::ResourceId;

/// Where the run is.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) scope: Option<&'a Scope<'a>>,
    pub(super) depth: u32,
    /// Whether problems are told; else the first one ends the run.
    pub(super) tells: bool,
}

/// A place in the value, from the inside out.
pub(super) enum Place<'a> {
    Root,
    Member(&'a str, &'a Place<'a>),
    Element(usize, &'a Place<'a>),
}

/// The resources that led here, from the inside out: the dynamic scope of `$dynamicRef`.
pub(super) struct Scope<'a> {
    pub(super) resource: ResourceId,
    pub(super) outer: Option<&'a Scope<'a>>,
}

/// Which members or elements of one value schemas have looked at, by their positions.
pub(super) struct Seen(Vec<bool>);

impl Seen {
    pub(super) fn of(value: &Value) -> Self {
        let length = match value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        };
        Self(vec![false; length])
    }

    /// Takes in what other schemas have looked at.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(seen, other)| *seen |= other);
    }

    /// Takes all for looked at.
    pub(super) fn add_all(&mut self) {
        self.0.fill(true);
    }

    pub(super) fn has(&self, position: usize) -> bool {
        self.0[position]
    }
}

/// Notes that a member or element was looked at, where somebody asks.
pub(super) fn mark(seen: &mut Option<&mut Seen>, position: usize) {
    if let Some(seen) = seen {
        seen.0[position] = true;
    }
}

impl Place<'_> {
    /// Returns the place as a JSON pointer (RFC 6901).
    pub(super) fn pointer(&self) -> String {
        let (mut parts, mut place) = (Vec::new(), self);
        loop {
            match place {
                Place::Root => break,
                Place::Member(name, outer) => {
                    parts.push(escape(name));
                    place = outer;
                }
                Place::Element(position, outer) => {
                    parts.push(position.to_string());
                    place = outer;
                }
            }
        }
        parts.iter().rev().flat_map(|part| ["/", part]).collect()
    }
}
