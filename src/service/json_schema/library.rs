//! Where schemas are: resources by their URI, anchors, and which resource each schema belongs to.
//!
//! Documents are the schema itself, the metaschemas of 2020-12, and those that the caller brings. Nothing is ever loaded.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::node::ResourceId;
use super::{SchemaError, uri};

/// The metaschemas of draft 2020-12 (json-schema.org, BSD licence), without what they say to people.
static METASCHEMAS: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("metaschemas.json")).expect("it is JSON"));
/// The URI of the metaschema.
pub(super) const METASCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";
const METASCHEMA_FOLDER: &str = "https://json-schema.org/draft/2020-12/";

/// All schemas that references can lead to.
pub(super) struct Library<'s> {
    resources: Vec<Resource<'s>>,
    names: HashMap<String, ResourceId>,
    /// The resource of each schema, by the address of its value, which stays where it is.
    homes: HashMap<*const Value, ResourceId>,
    documents: &'s [(String, Value)],
}

struct Resource<'s> {
    uri: String,
    root: &'s Value,
    anchors: HashMap<&'s str, Anchor<'s>>,
}

#[derive(Clone, Copy)]
struct Anchor<'s> {
    schema: &'s Value,
    is_dynamic: bool,
}

/// Where a reference leads.
pub(super) struct Target<'s> {
    pub(super) schema: &'s Value,
    /// The anchor that was named, where it is a `$dynamicAnchor`.
    pub(super) dynamic: Option<&'s str>,
}

/// What a keyword has below it.
pub(super) enum Below {
    Schema,
    List,
    Map,
}

/// Returns what schemas a keyword has below it. What stands below others is no schema, unless a reference says so.
pub(super) fn below(keyword: &str) -> Option<Below> {
    Some(match keyword {
        "additionalProperties"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "items"
        | "not"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Below::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Below::List,
        "$defs" | "definitions" | "dependentSchemas" | "patternProperties" | "properties" => Below::Map,
        _ => return None,
    })
}

/// Writes a name as part of a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl<'s> Library<'s> {
    /// Finds all resources and anchors of a schema.
    pub(super) fn new(schema: &'s Value, documents: &'s [(String, Value)]) -> Result<Self, SchemaError> {
        let (resources, names, homes) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut library = Self { resources, names, homes, documents };
        library.add(String::new(), schema)?;
        Ok(library)
    }

    /// The resource that a schema belongs to.
    pub(super) fn home(&self, schema: &'s Value) -> ResourceId {
        self.homes.get(&std::ptr::from_ref(schema)).copied().unwrap_or_default()
    }

    /// Every schema with this `$dynamicAnchor`, with its resource.
    pub(super) fn dynamic(&self, anchor: &str) -> Vec<(ResourceId, &'s Value)> {
        let resources = self.resources.iter().enumerate();
        let anchors = resources.filter_map(|(id, resource)| Some((id, resource.anchors.get(anchor)?)));
        anchors.filter(|(_, anchor)| anchor.is_dynamic).map(|(id, anchor)| (id, anchor.schema)).collect()
    }

    /// Follows a reference that stands in a resource. `None` is a place that is not there.
    pub(super) fn find(&mut self, from: ResourceId, reference: &str) -> Result<Option<Target<'s>>, SchemaError> {
        let (document, fragment) = uri::split(reference);
        let name = uri::resolve(&self.resources[from].uri, document);
        let id = self.resource(&name)?;
        let resource = &self.resources[id];
        let Some(fragment) = uri::decode(fragment) else { return Ok(None) };
        if fragment.is_empty() {
            return Ok(Some(Target { schema: resource.root, dynamic: None }));
        }
        if let Some(pointer) = fragment.strip_prefix('/') {
            return Ok(self.below(id, pointer)?.map(|schema| Target { schema, dynamic: None }));
        }
        Ok(resource
            .anchors
            .get_key_value(fragment.as_str())
            .map(|(name, anchor)| Target { schema: anchor.schema, dynamic: anchor.is_dynamic.then_some(*name) }))
    }

    fn resource(&mut self, name: &str) -> Result<ResourceId, SchemaError> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let documents = self.documents;
        let brought = documents.iter().find(|(uri, _)| uri == name).map(|(_, document)| document);
        let own = || METASCHEMAS.iter().find(|document| document["$id"] == name);
        match brought.or_else(|| own().filter(|_| name.starts_with(METASCHEMA_FOLDER))) {
            Some(document) => self.add(name.to_owned(), document),
            None => Err(SchemaError::Remote(name.to_owned())),
        }
    }

    /// Follows a JSON pointer without its first slash, and learns of the schema there where no keyword told of it.
    fn below(&mut self, id: ResourceId, pointer: &str) -> Result<Option<&'s Value>, SchemaError> {
        let (mut schema, mut home) = (self.resources[id].root, id);
        for part in pointer.split('/') {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match schema {
                Value::Object(members) => members.get(&part),
                Value::Array(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            schema = next;
            home = self.homes.get(&std::ptr::from_ref(schema)).copied().unwrap_or(home);
        }
        if !self.homes.contains_key(&std::ptr::from_ref(schema)) {
            self.walk(schema, home, format!("/{pointer}"))?;
        }
        Ok(Some(schema))
    }

    fn add(&mut self, uri: String, root: &'s Value) -> Result<ResourceId, SchemaError> {
        let id = self.resources.len();
        self.names.insert(uri.clone(), id);
        self.resources.push(Resource { uri, root, anchors: HashMap::new() });
        self.walk(root, id, String::new())?;
        Ok(id)
    }

    /// Takes in a schema and all below it.
    fn walk(&mut self, schema: &'s Value, home: ResourceId, pointer: String) -> Result<(), SchemaError> {
        let mut waiting = vec![(schema, home, pointer)];
        while let Some((schema, mut home, pointer)) = waiting.pop() {
            if let Some(members) = schema.as_object() {
                home = self.identify(schema, members, home, &pointer)?;
                for (keyword, value) in members {
                    waiting.extend(
                        schemas(keyword, value).map(|(path, schema)| (schema, home, format!("{pointer}/{path}"))),
                    );
                }
            }
            self.homes.insert(std::ptr::from_ref(schema), home);
        }
        Ok(())
    }

    /// Takes in a schema's `$id` and anchors; returns the resource that it belongs to.
    fn identify(
        &mut self,
        schema: &'s Value,
        members: &'s Map<String, Value>,
        mut home: ResourceId,
        pointer: &str,
    ) -> Result<ResourceId, SchemaError> {
        let twice = |keyword: &str, name: &str| SchemaError::Keyword {
            pointer: format!("{pointer}/{keyword}"),
            message: format!("names `{name}`, which another schema is called as well"),
        };
        if let Some(id) = members.get("$id").and_then(Value::as_str) {
            let name = uri::resolve(&self.resources[home].uri, id.trim_end_matches('#'));
            let is_root = std::ptr::eq(self.resources[home].root, schema);
            if is_root {
                self.resources[home].uri.clone_from(&name);
            } else {
                home = self.resources.len();
                self.resources.push(Resource { uri: name.clone(), root: schema, anchors: HashMap::new() });
            }
            if self.names.insert(name.clone(), home).is_some_and(|known| known != home) {
                return Err(twice("$id", &name));
            }
        }
        for (keyword, is_dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            let Some(name) = members.get(keyword).and_then(Value::as_str) else { continue };
            let known = self.resources[home].anchors.insert(name, Anchor { schema, is_dynamic });
            if known.is_some_and(|known| !std::ptr::eq(known.schema, schema)) {
                return Err(twice(keyword, name));
            }
        }
        Ok(home)
    }
}

/// The schemas below a keyword, each with the path to it.
fn schemas<'s>(keyword: &'s str, value: &'s Value) -> Box<dyn Iterator<Item = (String, &'s Value)> + 's> {
    match (below(keyword), value) {
        (Some(Below::Schema), schema) => Box::new(std::iter::once((keyword.to_owned(), schema))),
        (Some(Below::List), Value::Array(list)) => {
            Box::new(list.iter().enumerate().map(move |(at, schema)| (format!("{keyword}/{at}"), schema)))
        }
        (Some(Below::Map), Value::Object(map)) => {
            Box::new(map.iter().map(move |(name, schema)| (format!("{keyword}/{}", escape(name)), schema)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// The keywords of one of the metaschemas.
#[cfg(test)]
pub(super) fn metaschema_keywords(name: &str) -> Vec<String> {
    let uri = format!("{METASCHEMA_FOLDER}meta/{name}");
    let metaschema = METASCHEMAS.iter().find(|document| document["$id"] == uri.as_str()).expect("it is one of them");
    metaschema["properties"].as_object().into_iter().flatten().map(|(keyword, _)| keyword.clone()).collect()
}
