//! Holds the members of an object against the schemas for them, and their names.

use serde_json::{Map, Value};

use super::evaluate::Run;
use super::node::{Node, NodeId, Properties};
use super::visit::{Seen, Tells, Visit, mark};
use super::{message, work};

impl Run<'_> {
    pub(super) fn names(&mut self, node: NodeId, members: &Map<String, Value>, visit: Visit<'_>) -> bool {
        // A name becomes a value only here, where a schema wants one.
        let fits = members.keys().all(|name| {
            self.spend(work::of_text(name));
            self.quietly(node, &Value::String(name.clone()), visit, None)
        });
        self.check(fits, visit, || "has a member whose name is not allowed".to_owned())
    }

    /// Holds `properties`, `patternProperties` and `additionalProperties` against the members.
    pub(super) fn properties(
        &mut self,
        rules: &Properties,
        members: &Map<String, Value>,
        visit: Visit<'_>,
        mut seen: Option<&mut Seen>,
    ) -> bool {
        // Where nothing is told, schemas without others below them come first: a tag rejects its form of a union before the members
        // beside it are gone into, level by level.
        let turns: &[Turn] = if visit.tells == Tells::Nothing { &[Turn::Simple, Turn::Others] } else { &[Turn::All] };
        let (mut fits, mut is_closed) = (true, false);
        for turn in turns {
            let mut has_more = false;
            for (position, (name, member)) in members.iter().enumerate() {
                self.spend(rules.work(name));
                for node in rules.nodes(name) {
                    mark(&mut seen, position);
                    if rules.closed && rules.additional == Some(node) {
                        (fits, is_closed) = (false, true);
                    } else if turn.has(&self.program.nodes[node]) {
                        fits &= self.member(node, name, member, visit);
                    } else {
                        has_more = true;
                    }
                }
                if !self.is_whole() || !fits && self.is_enough(visit) {
                    break;
                }
            }
            if !has_more || !fits || !self.is_whole() {
                break;
            }
        }
        if is_closed {
            self.check(false, visit, || message::closed(members.keys().filter(|name| !rules.knows(name))));
        }
        fits && self.is_whole()
    }
}

/// Which members have their turn.
enum Turn {
    All,
    Simple,
    Others,
}

impl Turn {
    fn has(&self, node: &Node) -> bool {
        match self {
            Self::All => true,
            Self::Simple => node.is_simple(),
            Self::Others => !node.is_simple(),
        }
    }
}

impl Node {
    /// Whether there is no schema below it.
    fn is_simple(&self) -> bool {
        self.applicators.is_empty() && self.unevaluated_items.is_none() && self.unevaluated_properties.is_none()
    }
}

impl Properties {
    /// The schemas for a member.
    fn nodes(&self, name: &str) -> impl Iterator<Item = NodeId> {
        let mut own = self.own(name).peekable();
        let additional = if own.peek().is_none() { self.additional } else { None };
        own.chain(additional)
    }

    /// Those that say so in its name.
    fn own(&self, name: &str) -> impl Iterator<Item = NodeId> {
        let named = self.named.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok();
        let patterns = self.patterns.iter().filter(move |(pattern, _)| pattern.is_match(name)).map(|(_, node)| *node);
        named.map(|at| self.named[at].1).into_iter().chain(patterns)
    }

    fn knows(&self, name: &str) -> bool {
        self.own(name).next().is_some()
    }
}
