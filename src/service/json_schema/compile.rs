//! From a schema to nodes: every keyword is read once, and every reference followed.
//!
//! Schemas wait in a queue, so that how deep they stand in each other does not matter.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::keywords::Keywords;
use super::library::{Library, Target, escape};
use super::node::{Applicator, Assertion, Limit, Node, NodeId, Program, Properties, ResourceId};
use super::{SchemaError, decimal, format, message};
use crate::service::pattern::Pattern;

/// Compiles a schema; `documents` are what its references may name, by URI.
pub(super) fn compile(schema: &Value, documents: &[(String, Value)]) -> Result<Program, SchemaError> {
    let library = Library::new(schema, documents)?;
    let mut compiler = Compiler {
        library,
        program: Program::default(),
        ids: HashMap::new(),
        waiting: VecDeque::new(),
        pointers: Vec::new(),
        dynamics: Vec::new(),
    };
    compiler.node(schema, String::new);
    compiler.run()?;
    compiler.finish_dynamics()?;
    super::endless::check(&compiler.program, &compiler.pointers)?;
    Ok(compiler.program)
}

struct Compiler<'s> {
    library: Library<'s>,
    program: Program,
    ids: HashMap<*const Value, NodeId>,
    waiting: VecDeque<(NodeId, &'s Value)>,
    /// Where each node's schema stands.
    pointers: Vec<String>,
    /// The anchor of each `$dynamicRef`, and where a `$ref` would lead: what `program.dynamics` is made of.
    dynamics: Vec<(&'s str, NodeId)>,
}

type Read<T> = Result<T, SchemaError>;

impl<'s> Compiler<'s> {
    /// The node of a schema, which is compiled in its turn.
    fn node(&mut self, schema: &'s Value, pointer: impl FnOnce() -> String) -> NodeId {
        *self.ids.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            let id = self.program.nodes.len();
            self.program.nodes.push(Node::default());
            self.pointers.push(pointer());
            self.waiting.push_back((id, schema));
            id
        })
    }

    fn run(&mut self) -> Read<()> {
        while let Some((id, schema)) = self.waiting.pop_front() {
            let pointer = self.pointers[id].clone();
            self.program.nodes[id] = match schema {
                Value::Bool(true) => Node::default(),
                Value::Bool(false) => Node { assertions: vec![Assertion::Never], ..Node::default() },
                Value::Object(members) => {
                    let resource = self.library.home(schema);
                    self.schema(Keywords { members, pointer: &pointer }, resource)?
                }
                _ => {
                    let message = "must be a schema: an object, true or false".to_owned();
                    return Err(SchemaError::Keyword { pointer, message });
                }
            };
        }
        Ok(())
    }

    fn schema(&mut self, keywords: Keywords<'s, '_>, resource: ResourceId) -> Read<Node> {
        keywords.check_others()?;
        // What is only there to be referred to must be sound as well.
        for definitions in ["$defs", "definitions"] {
            self.map(keywords, definitions)?;
        }
        self.below(keywords, "contentSchema");
        Ok(Node {
            resource,
            assertions: assertions(keywords)?,
            applicators: self.applicators(keywords, resource)?,
            unevaluated_items: self.below(keywords, "unevaluatedItems"),
            unevaluated_properties: self.below(keywords, "unevaluatedProperties"),
        })
    }

    fn applicators(&mut self, keywords: Keywords<'s, '_>, resource: ResourceId) -> Read<Vec<Applicator>> {
        let mut all = Vec::new();
        let (first, rest) = (self.list(keywords, "prefixItems")?, self.below(keywords, "items"));
        if rest.is_some() || !first.is_empty() {
            all.push(Applicator::Items { first, rest });
        }
        let (least, most) = keywords.bounds("minContains", "maxContains")?.unwrap_or((1, u64::MAX));
        let least = if keywords.members.contains_key("minContains") { least } else { 1 };
        all.extend(self.below(keywords, "contains").map(|node| Applicator::Contains { node, least, most }));
        all.extend(self.below(keywords, "propertyNames").map(Applicator::PropertyNames));
        all.extend(self.properties(keywords)?.map(Applicator::Properties));
        all.extend(self.reference(keywords, "$ref", resource)?);
        all.extend(self.reference(keywords, "$dynamicRef", resource)?);
        let (all_of, any_of) = (self.list(keywords, "allOf")?, self.list(keywords, "anyOf")?);
        let one_of = self.list(keywords, "oneOf")?;
        all.extend((!all_of.is_empty()).then_some(Applicator::AllOf(all_of)));
        all.extend((!any_of.is_empty()).then_some(Applicator::AnyOf(any_of)));
        all.extend((!one_of.is_empty()).then_some(Applicator::OneOf(one_of)));
        all.extend(self.below(keywords, "not").map(Applicator::Not));
        let (then, otherwise) = (self.below(keywords, "then"), self.below(keywords, "else"));
        all.extend(self.below(keywords, "if").map(|condition| Applicator::If { condition, then, otherwise }));
        let rules = self.map(keywords, "dependentSchemas")?;
        all.extend((!rules.is_empty()).then_some(Applicator::DependentSchemas(rules)));
        Ok(all)
    }

    fn properties(&mut self, keywords: Keywords<'s, '_>) -> Read<Option<Properties>> {
        let mut named = self.map(keywords, "properties")?;
        named.sort_unstable();
        let mut patterns = Vec::new();
        for (text, node) in self.map(keywords, "patternProperties")? {
            let pattern = Pattern::new(&text)
                .map_err(|error| keywords.wrong("patternProperties", format!("has no pattern `{text}`: {error}")))?;
            patterns.push((pattern, node));
        }
        let closed = keywords.members.get("additionalProperties") == Some(&Value::Bool(false));
        let additional = self.below(keywords, "additionalProperties");
        let is_some = additional.is_some() || !named.is_empty() || !patterns.is_empty();
        Ok(is_some.then_some(Properties { named, patterns, additional, closed }))
    }

    fn below(&mut self, keywords: Keywords<'s, '_>, keyword: &str) -> Option<NodeId> {
        let schema = keywords.members.get(keyword)?;
        Some(self.node(schema, || format!("{}/{keyword}", keywords.pointer)))
    }

    fn list(&mut self, keywords: Keywords<'s, '_>, keyword: &str) -> Read<Vec<NodeId>> {
        let schemas = keywords.schemas(keyword)?.iter().enumerate();
        Ok(schemas.map(|(at, schema)| self.node(schema, || format!("{}/{keyword}/{at}", keywords.pointer))).collect())
    }

    fn map(&mut self, keywords: Keywords<'s, '_>, keyword: &str) -> Read<Vec<(String, NodeId)>> {
        let schemas = keywords.map(keyword)?.into_iter().flatten();
        let node = |(name, schema): (&'s String, &'s Value)| {
            let pointer = || format!("{}/{keyword}/{}", keywords.pointer, escape(name));
            (name.clone(), self.node(schema, pointer))
        };
        Ok(schemas.map(node).collect())
    }

    fn reference(&mut self, keywords: Keywords<'s, '_>, keyword: &str, from: ResourceId) -> Read<Option<Applicator>> {
        let Some(reference) = keywords.reference(keyword)? else { return Ok(None) };
        let missing = || keywords.wrong(keyword, format!("refers to `{reference}`, which is not there"));
        let Target { schema, dynamic } = self.library.find(from, reference)?.ok_or_else(missing)?;
        let pointer = || match reference.strip_prefix('#') {
            Some(own) if from == 0 => own.to_owned(),
            _ => reference.to_owned(),
        };
        let node = self.node(schema, pointer);
        Ok(Some(match dynamic.filter(|_| keyword == "$dynamicRef") {
            None => Applicator::Reference(node),
            Some(anchor) => Applicator::Dynamic(self.dynamic(anchor, node)),
        }))
    }

    fn dynamic(&mut self, anchor: &'s str, node: NodeId) -> usize {
        self.dynamics.iter().position(|known| *known == (anchor, node)).unwrap_or_else(|| {
            self.dynamics.push((anchor, node));
            self.dynamics.len() - 1
        })
    }

    /// Lists what each `$dynamicRef` may lead to, and compiles it, which may lead to more of both.
    fn finish_dynamics(&mut self) -> Read<()> {
        loop {
            let before = (self.program.nodes.len(), self.dynamics.len());
            let mut lists = Vec::new();
            for (anchor, first) in self.dynamics.clone() {
                let mut targets = vec![(self.program.nodes[first].resource, first)];
                for (resource, schema) in self.library.dynamic(anchor) {
                    let node = self.node(schema, || format!("#{anchor}"));
                    targets.extend((node != first).then_some((resource, node)));
                }
                lists.push(targets);
            }
            self.program.dynamics = lists;
            self.run()?;
            if before == (self.program.nodes.len(), self.dynamics.len()) {
                return Ok(());
            }
        }
    }
}

/// What the value itself must be.
fn assertions(keywords: Keywords<'_, '_>) -> Read<Vec<Assertion>> {
    let mut all: Vec<Assertion> = keywords.types()?.map(Assertion::Type).into_iter().collect();
    all.extend(keywords.list("enum")?.map(|values| choice(values, false)));
    all.extend(keywords.members.get("const").map(|value| choice(std::slice::from_ref(value), true)));
    for (keyword, kind) in [
        ("minimum", Limit::Minimum),
        ("exclusiveMinimum", Limit::ExclusiveMinimum),
        ("maximum", Limit::Maximum),
        ("exclusiveMaximum", Limit::ExclusiveMaximum),
    ] {
        all.extend(keywords.number(keyword)?.map(|number| Assertion::Limit { kind, number: number.clone() }));
    }
    all.extend(keywords.divisor()?.cloned().map(Assertion::MultipleOf));
    all.extend(keywords.bounds("minLength", "maxLength")?.map(|(least, most)| Assertion::Length { least, most }));
    if let Some(pattern) = keywords.text("pattern")? {
        let wrong = |error| keywords.wrong("pattern", format!("is no regular expression that is taken: {error}"));
        all.push(Assertion::Pattern(Pattern::new(pattern).map_err(wrong)?));
    }
    all.extend(keywords.text("format")?.and_then(format::named).map(Assertion::Format));
    all.extend(keywords.bounds("minItems", "maxItems")?.map(|(least, most)| Assertion::ItemCount { least, most }));
    all.extend(keywords.flag("uniqueItems")?.then_some(Assertion::UniqueItems));
    let members = keywords.bounds("minProperties", "maxProperties")?;
    all.extend(members.map(|(least, most)| Assertion::PropertyCount { least, most }));
    all.extend(keywords.names("required")?.filter(|names| !names.is_empty()).map(Assertion::Required));
    let rules = keywords.dependencies()?;
    all.extend((!rules.is_empty()).then_some(Assertion::DependentRequired(rules)));
    Ok(all)
}

fn choice(values: &[Value], single: bool) -> Assertion {
    let listed = message::list(values.iter().map(|value| format!("`{value}`")), ", ");
    let mut sorted = values.to_vec();
    sorted.sort_by(decimal::compare);
    Assertion::Choice { sorted, listed, single }
}
