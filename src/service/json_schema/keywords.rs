//! A schema's keywords, each read as what it must be.

use serde_json::{Map, Number, Value};

use super::library::{METASCHEMA, escape};
use super::node::Types;
use super::{SchemaError, decimal, format, message};

/// The keywords of one schema.
#[derive(Clone, Copy)]
pub(super) struct Keywords<'s, 'p> {
    pub(super) members: &'s Map<String, Value>,
    /// Where the schema stands, as a JSON pointer.
    pub(super) pointer: &'p str,
}

type Read<T> = Result<T, SchemaError>;

impl<'s> Keywords<'s, '_> {
    /// A keyword that this must be, where it is there.
    fn read<T>(self, keyword: &str, what: &str, read: impl FnOnce(&'s Value) -> Option<T>) -> Read<Option<T>> {
        let Some(value) = self.members.get(keyword) else { return Ok(None) };
        read(value).map_or_else(|| Err(self.wrong(keyword, format!("must be {what}"))), |value| Ok(Some(value)))
    }

    /// The error of a keyword that is something else than it must be.
    pub(super) fn wrong(self, keyword: &str, message: String) -> SchemaError {
        SchemaError::Keyword { pointer: format!("{}/{}", self.pointer, escape(keyword)), message }
    }

    pub(super) fn text(self, keyword: &str) -> Read<Option<&'s str>> {
        self.read(keyword, "a string", Value::as_str)
    }

    /// A reference to a schema.
    pub(super) fn reference(self, keyword: &str) -> Read<Option<&'s str>> {
        self.read(keyword, "a URI reference", |value| value.as_str().filter(|text| format::is_reference(text)))
    }

    pub(super) fn flag(self, keyword: &str) -> Read<bool> {
        self.read(keyword, "true or false", Value::as_bool).map(Option::unwrap_or_default)
    }

    pub(super) fn number(self, keyword: &str) -> Read<Option<&'s Number>> {
        self.read(keyword, "a number", Value::as_number)
    }

    pub(super) fn divisor(self) -> Read<Option<&'s Number>> {
        let divisor =
            |value: &'s Value| value.as_number().filter(|number| number.as_f64().is_some_and(|number| number > 0.0));
        self.read("multipleOf", "a number above 0", divisor)
    }

    /// The bounds of a count, where there are any.
    pub(super) fn bounds(self, least: &str, most: &str) -> Read<Option<(u64, u64)>> {
        let (least, most) = (self.count(least)?, self.count(most)?);
        Ok((least.is_some() || most.is_some()).then(|| (least.unwrap_or(0), most.unwrap_or(u64::MAX))))
    }

    pub(super) fn count(self, keyword: &str) -> Read<Option<u64>> {
        self.read(keyword, "a whole number of at least 0", |value| {
            let number = value.as_number().filter(|number| decimal::is_whole(number))?;
            // `2.0` is a whole number as well.
            number.as_u64().or_else(|| number.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
        })
    }

    pub(super) fn list(self, keyword: &str) -> Read<Option<&'s Vec<Value>>> {
        self.read(keyword, "a list", Value::as_array)
    }

    pub(super) fn map(self, keyword: &str) -> Read<Option<&'s Map<String, Value>>> {
        self.read(keyword, "an object", Value::as_object)
    }

    /// A list of schemas, which must not be empty.
    pub(super) fn schemas(self, keyword: &str) -> Read<&'s [Value]> {
        let list = |value: &'s Value| value.as_array().filter(|list| !list.is_empty());
        Ok(self.read(keyword, "a list of schemas", list)?.map_or(&[], Vec::as_slice))
    }

    pub(super) fn names(self, keyword: &str) -> Read<Option<Vec<String>>> {
        self.read(keyword, "a list of different strings", different)
    }

    pub(super) fn dependencies(self) -> Read<Vec<(String, Vec<String>)>> {
        let dependencies = |value: &'s Value| {
            let rules = value.as_object()?.iter().map(|(name, names)| Some((name.clone(), different(names)?)));
            rules.collect::<Option<Vec<_>>>()
        };
        let what = "an object with a list of different strings for each name";
        Ok(self.read("dependentRequired", what, dependencies)?.unwrap_or_default())
    }

    pub(super) fn types(self) -> Read<Option<Types>> {
        let names = || message::list(Types::names().map(|name| format!("`{name}`")), ", ");
        let what = format!("one of {} or a list of them", names());
        self.read("type", &what, |value| match value {
            Value::String(name) => Types::named(name),
            value => {
                let names = different(value).filter(|names| !names.is_empty())?;
                let types: Option<Vec<Types>> = names.iter().map(|name| Types::named(name)).collect();
                types.map(Types::all)
            }
        })
    }

    /// Reads what only says something to people, or to who looks for schemas.
    pub(super) fn check_others(self) -> Read<()> {
        for keyword in ["$comment", "contentEncoding", "contentMediaType", "description", "title"] {
            self.text(keyword)?;
        }
        for keyword in ["deprecated", "readOnly", "writeOnly"] {
            self.flag(keyword)?;
        }
        self.list("examples")?;
        for keyword in ["$anchor", "$dynamicAnchor"] {
            self.read(keyword, "a name of letters, digits, `-`, `_` and `.`", |value| {
                value.as_str().filter(|name| is_anchor(name))
            })?;
        }
        self.read("$id", "a URI reference without a fragment", |value| {
            value.as_str().filter(|id| format::is_reference(id) && !id.trim_end_matches('#').contains('#'))
        })?;
        let are_flags = |value: &'s Value| {
            let map = value.as_object()?;
            map.iter().all(|(uri, flag)| format::is_uri(uri) && flag.is_boolean()).then_some(map)
        };
        self.read("$vocabulary", "an object with true or false for each URI", are_flags)?;
        let what = format!("`{METASCHEMA}`, the one that is known here");
        self.read("$schema", &what, |value| value.as_str().filter(|uri| uri.trim_end_matches('#') == METASCHEMA))?;
        Ok(())
    }
}

fn different(value: &Value) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    let names = names?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    let is_different = sorted.windows(2).all(|pair| pair[0] != pair[1]);
    is_different.then_some(names)
}

fn is_anchor(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
