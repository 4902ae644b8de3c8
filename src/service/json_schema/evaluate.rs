//! Holds a value against a compiled schema: first only whether it fits, and where it does not, once more for the problems.
//!
//! Nothing is allocated for a value that fits, but for schemas that ask what others have left out (`unevaluatedItems`,
//! `unevaluatedProperties`). Work and depth are bounded, whatever schema and value are.

use serde_json::Value;

use super::node::{Applicator, Node, NodeId, Program};
use super::visit::{Place, Scope, Seen, Tells, Visit, mark};
use super::{SchemaProblem, message, work};

/// How deep schemas may lead to each other while a value is checked.
const MAX_DEPTH: u32 = 800;
/// How many forms of a choice are told.
const MAX_FORMS: usize = 3;

/// Returns what is wrong with a value: nothing, or up to `most` problems.
pub(super) fn problems(program: &Program, value: &Value, most: usize) -> Vec<SchemaProblem> {
    let steps = work::budget(value);
    let mut run = Run { program, left: steps, too_deep: false, most, problems: Vec::new() };
    let visit = Visit { place: &Place::Root, scope: None, depth: 0, tells: Tells::Nothing };
    if run.fits(0, value, visit, None) && run.is_whole() {
        return Vec::new();
    }
    if run.is_whole() {
        run.left = steps;
        run.fits(0, value, Visit { tells: Tells::All, ..visit }, None);
    }
    // What was found is true, even where there was more to look at.
    if run.is_whole() || !run.problems.is_empty() {
        return run.problems;
    }
    let message = if run.too_deep {
        "is nested too deep to be held against its schema"
    } else {
        "takes too much work to be held against its schema"
    };
    vec![SchemaProblem { pointer: String::new(), message: message.to_owned() }]
}

/// One look at a value: for whether it fits, or for its problems.
pub(super) struct Run<'p> {
    pub(super) program: &'p Program,
    left: u64,
    too_deep: bool,
    most: usize,
    problems: Vec<SchemaProblem>,
}

impl Run<'_> {
    /// Returns whether all was looked at that had to be.
    pub(super) fn is_whole(&self) -> bool {
        self.left > 0 && !self.too_deep
    }

    pub(super) fn spend(&mut self, steps: u64) {
        self.left = self.left.saturating_sub(steps);
    }

    fn seen(&mut self, value: &Value) -> Seen {
        self.spend(work::length(value) as u64);
        Seen::of(value)
    }

    /// Returns whether a value fits a node; `outer` learns what was looked at, for the schema that asked.
    fn fits(&mut self, id: NodeId, value: &Value, visit: Visit<'_>, outer: Option<&mut Seen>) -> bool {
        self.spend(1);
        self.too_deep |= visit.depth >= MAX_DEPTH;
        if !self.is_whole() {
            return false;
        }
        let program = self.program;
        let node = &program.nodes[id];
        let Some(mut fits) = self.assertions(node, value, visit) else { return false };
        let rest = node.unevaluated(value);
        if node.applicators.is_empty() && rest.is_none() {
            return fits;
        }
        let scope = Scope { resource: node.resource, outer: visit.scope };
        let is_same = visit.scope.is_some_and(|scope| scope.resource == node.resource);
        let visit = Visit { scope: if is_same { visit.scope } else { Some(&scope) }, depth: visit.depth + 1, ..visit };
        let Some(rest) = rest else {
            return self.apply_all(node, value, visit, outer) && fits;
        };
        let mut seen = self.seen(value);
        fits &= self.apply_all(node, value, visit, Some(&mut seen));
        // Once something else is wrong, what was left out says nothing.
        fits = fits && self.unevaluated(rest, value, visit, &mut seen);
        if let Some(outer) = outer {
            outer.add(&seen);
        }
        fits
    }

    /// Returns whether all assertions hold; `None` ends the check of the node.
    fn assertions(&mut self, node: &Node, value: &Value, visit: Visit<'_>) -> Option<bool> {
        let mut fits = true;
        for assertion in &node.assertions {
            self.spend(assertion.work(value));
            if !self.is_whole() {
                return None;
            }
            if assertion.holds(value) {
                continue;
            }
            if visit.tells == Tells::Nothing {
                return None;
            }
            fits = false;
            self.tell(visit.place, || message::of(assertion, value));
        }
        Some(fits)
    }

    fn apply_all(&mut self, node: &Node, value: &Value, visit: Visit<'_>, mut seen: Option<&mut Seen>) -> bool {
        let mut fits = true;
        for applicator in &node.applicators {
            fits &= self.apply(applicator, value, visit, seen.as_deref_mut());
            if !fits && self.is_enough(visit) {
                return false;
            }
        }
        fits
    }

    pub(super) fn is_enough(&self, visit: Visit<'_>) -> bool {
        visit.tells == Tells::Nothing || self.problems.len() >= self.most
    }

    fn apply(&mut self, applicator: &Applicator, value: &Value, visit: Visit<'_>, mut seen: Option<&mut Seen>) -> bool {
        match (applicator, value) {
            (Applicator::Reference(node), _) => self.fits(*node, value, visit, seen),
            (Applicator::Dynamic(at), _) => {
                let node = self.dynamic(*at, visit.scope);
                self.fits(node, value, visit, seen)
            }
            (Applicator::AllOf(nodes), _) => {
                let mut fits = true;
                for node in nodes {
                    fits &= self.fits(*node, value, visit, seen.as_deref_mut());
                    if !fits && self.is_enough(visit) {
                        return false;
                    }
                }
                fits
            }
            (Applicator::AnyOf(nodes), _) => self.any_of(nodes, value, visit, seen),
            (Applicator::OneOf(nodes), _) => self.one_of(nodes, value, visit, seen),
            (Applicator::Not(node), _) => {
                let fits = !self.quietly(*node, value, visit, None);
                self.check(fits, visit, || "must not have the form that the schema excludes".to_owned())
            }
            (Applicator::If { condition, then, otherwise }, _) => {
                let holds = self.quietly(*condition, value, visit, seen.as_deref_mut());
                let next = if holds { then } else { otherwise };
                next.is_none_or(|node| self.fits(node, value, visit, seen))
            }
            (Applicator::DependentSchemas(rules), Value::Object(members)) => {
                let mut fits = true;
                for (_, node) in rules.iter().filter(|(name, _)| members.contains_key(name)) {
                    fits &= self.fits(*node, value, visit, seen.as_deref_mut());
                }
                fits
            }
            (Applicator::Items { first, rest }, Value::Array(items)) => self.items(first, *rest, items, visit, seen),
            (Applicator::Contains { node, least, most }, Value::Array(items)) => {
                let found = self.contained(*node, items, visit, seen);
                let fits = (*least..=*most).contains(&found);
                self.check(fits, visit, || message::contains(found, *least, *most))
            }
            (Applicator::PropertyNames(node), Value::Object(members)) => self.names(*node, members, visit),
            (Applicator::Properties(rules), Value::Object(members)) => self.properties(rules, members, visit, seen),
            _ => true,
        }
    }

    /// Holds a node against the value without telling problems. What it looked at counts only where the value fits.
    pub(super) fn quietly(&mut self, node: NodeId, value: &Value, visit: Visit<'_>, seen: Option<&mut Seen>) -> bool {
        let visit = Visit { tells: Tells::Nothing, ..visit };
        let Some(seen) = seen else { return self.fits(node, value, visit, None) };
        let mut own = self.seen(value);
        let fits = self.fits(node, value, visit, Some(&mut own));
        if fits {
            seen.add(&own);
        }
        fits
    }

    fn any_of(&mut self, nodes: &[NodeId], value: &Value, visit: Visit<'_>, mut seen: Option<&mut Seen>) -> bool {
        let mut fits = false;
        for node in nodes {
            // All that fit say what they have looked at, where somebody asks.
            if !fits || seen.is_some() {
                fits |= self.quietly(*node, value, visit, seen.as_deref_mut());
            }
        }
        fits || self.no_form(nodes, value, visit)
    }

    fn one_of(&mut self, nodes: &[NodeId], value: &Value, visit: Visit<'_>, mut seen: Option<&mut Seen>) -> bool {
        let mut found = 0;
        for node in nodes {
            found += u32::from(self.quietly(*node, value, visit, seen.as_deref_mut()));
            if found > 1 {
                return self
                    .check(false, visit, || "must fit only one of the forms that the schema has for it".to_owned());
            }
        }
        found == 1 || self.no_form(nodes, value, visit)
    }

    /// A choice between schemas is one problem: which of them was meant nobody knows. The forms are told where each can be said in a
    /// few words.
    fn no_form(&mut self, nodes: &[NodeId], value: &Value, visit: Visit<'_>) -> bool {
        if visit.tells == Tells::Nothing || !self.is_whole() {
            return false;
        }
        let told = std::mem::take(&mut self.problems);
        let most = std::mem::replace(&mut self.most, MAX_FORMS + 1);
        for node in nodes {
            if self.problems.len() < self.most {
                self.fits(*node, value, Visit { tells: Tells::Form, ..visit }, None);
            }
        }
        self.most = most;
        let forms = std::mem::replace(&mut self.problems, told);
        let pointer = visit.place.pointer();
        let are_short = (1..=MAX_FORMS).contains(&forms.len()) && forms.iter().all(|form| form.pointer == pointer);
        let message = if are_short && self.is_whole() {
            message::list(forms.into_iter().map(|form| form.message), " or ")
        } else {
            "must fit one of the forms that the schema has for it".to_owned()
        };
        self.add(SchemaProblem { pointer, message });
        false
    }

    fn items(
        &mut self,
        first: &[NodeId],
        rest: Option<NodeId>,
        items: &[Value],
        visit: Visit<'_>,
        mut seen: Option<&mut Seen>,
    ) -> bool {
        let nodes = first.iter().copied().map(Some).chain(std::iter::repeat(rest));
        let mut fits = true;
        for ((position, item), node) in items.iter().enumerate().zip(nodes) {
            let Some(node) = node else { break };
            mark(&mut seen, position);
            fits &= self.element(node, position, item, visit);
            if !fits && self.is_enough(visit) {
                return false;
            }
        }
        fits
    }

    fn element(&mut self, node: NodeId, position: usize, item: &Value, visit: Visit<'_>) -> bool {
        self.inside(node, item, visit, &Place::Element(position, visit.place))
    }

    pub(super) fn member(&mut self, node: NodeId, name: &str, member: &Value, visit: Visit<'_>) -> bool {
        self.inside(node, member, visit, &Place::Member(name, visit.place))
    }

    /// Holds a node against what is in the value.
    fn inside(&mut self, node: NodeId, value: &Value, visit: Visit<'_>, place: &Place<'_>) -> bool {
        let visit = Visit { place, ..visit };
        if visit.tells != Tells::Form {
            return self.fits(node, value, visit, None);
        }
        // A form that is wrong further inside is not told in words: to gather them for each form would take work without end.
        let fits = self.quietly(node, value, visit, None);
        self.check(fits, visit, String::new)
    }

    fn contained(&mut self, node: NodeId, items: &[Value], visit: Visit<'_>, mut seen: Option<&mut Seen>) -> u64 {
        let mut found = 0;
        for (position, item) in items.iter().enumerate() {
            if self.quietly(node, item, visit, None) {
                mark(&mut seen, position);
                found += 1;
            }
        }
        found
    }

    /// Holds what no schema has looked at against the one that is there for it.
    fn unevaluated(&mut self, node: NodeId, value: &Value, visit: Visit<'_>, seen: &mut Seen) -> bool {
        let mut fits = true;
        match value {
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate().filter(|(position, _)| !seen.has(*position)) {
                    fits &= self.element(node, position, item, visit);
                }
            }
            Value::Object(members) => {
                for (_, (name, member)) in members.iter().enumerate().filter(|(position, _)| !seen.has(*position)) {
                    fits &= self.member(node, name, member, visit);
                }
            }
            _ => {}
        }
        seen.add_all();
        fits
    }

    /// Where a `$dynamicRef` leads: to the anchor of the outermost resource that has it.
    fn dynamic(&self, at: usize, scope: Option<&Scope<'_>>) -> NodeId {
        let targets = &self.program.dynamics[at];
        // The first is the one that a `$ref` would lead to.
        let mut found = targets[0].1;
        let mut scope = scope;
        while let Some(inner) = scope {
            if let Some((_, node)) = targets.iter().find(|(resource, _)| *resource == inner.resource) {
                found = *node;
            }
            scope = inner.outer;
        }
        found
    }

    pub(super) fn check(&mut self, fits: bool, visit: Visit<'_>, message: impl FnOnce() -> String) -> bool {
        if !fits && visit.tells != Tells::Nothing {
            self.tell(visit.place, message);
        }
        fits
    }

    /// Tells a problem, unless it may only seem to be one because the run came to its end.
    fn tell(&mut self, place: &Place<'_>, message: impl FnOnce() -> String) {
        if self.is_whole() && self.problems.len() < self.most {
            self.add(SchemaProblem { pointer: place.pointer(), message: message() });
        }
    }

    fn add(&mut self, problem: SchemaProblem) {
        if self.problems.len() < self.most && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl Node {
    /// The schema for what the others leave of this value.
    fn unevaluated(&self, value: &Value) -> Option<NodeId> {
        match value {
            Value::Array(_) => self.unevaluated_items,
            Value::Object(_) => self.unevaluated_properties,
            _ => None,
        }
    }
}
