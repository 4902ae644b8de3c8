//! Where a check is: the place in the value, the schemas that led there, and what they have looked at.

use serde_json::Value;

use super::library::escape;
use super::node::ResourceId;
use super::{message, work};

/// Where the run is.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) scope: Option<&'a Scope<'a>>,
    pub(super) depth: u32,
    pub(super) tells: Tells,
}

/// Which problems are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// None: the first one ends the run.
    Nothing,
    /// Those of the value itself, for one form of a choice. Of what is in it only that something is wrong there.
    Form,
    All,
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
        Self(vec![false; work::length(value)])
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
    /// Returns the place as a JSON pointer (RFC 6901). Names come from the request and are cut short.
    pub(super) fn pointer(&self) -> String {
        let (mut parts, mut place) = (Vec::new(), self);
        loop {
            match place {
                Place::Root => break,
                Place::Member(name, outer) => {
                    parts.push(escape(&message::short(name)));
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
