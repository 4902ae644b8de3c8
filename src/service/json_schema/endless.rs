//! Finds schemas that lead back to themselves for the same value: no value could ever be held against them to the end.

use super::SchemaError;
use super::node::{Applicator, NodeId, Program};

/// Refuses a schema with such a circle. A `$dynamicRef` that may lead to several places is followed only when a value is checked,
/// where depth is bounded.
pub(super) fn check(program: &Program, pointers: &[String]) -> Result<(), SchemaError> {
    let next: Vec<Vec<NodeId>> = program
        .nodes
        .iter()
        .map(|node| node.applicators.iter().flat_map(|applicator| applicator.for_same_value(program)).collect())
        .collect();
    let Some(start) = leads_on_for_ever(&next) else { return Ok(()) };
    let message = "leads back to itself for the same value, and so on without end".to_owned();
    Err(SchemaError::Keyword { pointer: pointers[start].clone(), message })
}

/// Returns a node of a circle: what is left when nodes that lead nowhere are taken away again and again.
fn leads_on_for_ever(next: &[Vec<NodeId>]) -> Option<NodeId> {
    let mut before = vec![Vec::new(); next.len()];
    for (from, nodes) in next.iter().enumerate() {
        for &to in nodes {
            before[to].push(from);
        }
    }
    let mut left: Vec<usize> = next.iter().map(Vec::len).collect();
    let mut ends: Vec<NodeId> = (0..next.len()).filter(|&node| left[node] == 0).collect();
    while let Some(end) = ends.pop() {
        for &from in &before[end] {
            left[from] -= 1;
            if left[from] == 0 {
                ends.push(from);
            }
        }
    }
    // What is left leads to what is left: after as many steps as there are nodes one is in the circle.
    let mut node = left.iter().position(|&left| left > 0)?;
    for _ in 0..next.len() {
        node = next[node].iter().copied().find(|&to| left[to] > 0)?;
    }
    Some(node)
}

impl Applicator {
    /// The nodes that it holds against the value itself.
    fn for_same_value(&self, program: &Program) -> Vec<NodeId> {
        match self {
            Self::Reference(node) | Self::Not(node) => vec![*node],
            Self::Dynamic(at) => match program.dynamics[*at].as_slice() {
                [(_, node)] => vec![*node],
                _ => Vec::new(),
            },
            Self::AllOf(nodes) | Self::AnyOf(nodes) | Self::OneOf(nodes) => nodes.clone(),
            Self::If { condition, then, otherwise } => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            Self::DependentSchemas(rules) => rules.iter().map(|(_, node)| *node).collect(),
            Self::Items { .. } | Self::Contains { .. } | Self::PropertyNames(_) | Self::Properties(_) => Vec::new(),
        }
    }
}
