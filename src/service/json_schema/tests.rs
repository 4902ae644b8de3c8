//! What each keyword means, what people are told, and how hostile schemas and values end.
//! `tests/real/json_schema.rs` runs the official suite.

use serde_json::json;

use super::*;

fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let schema = JsonSchema::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}")).unwrap();
    let problems = schema.problems(value, 3).into_iter();
    problems.map(|problem| format!("{} {}", problem.pointer, problem.message)).collect()
}

fn wrong(schema: &Value) -> String {
    JsonSchema::new(schema).map(|_| ()).expect_err(&schema.to_string()).to_string()
}

#[test]
fn schemas_that_allow_everything_are_none() {
    for schema in [json!({}), json!(true), json!(null)] {
        assert!(JsonSchema::new(&schema).unwrap().is_none());
    }
    assert_eq!(problems(&json!(false), &json!(1)), [" must not be there"]);
}

#[test]
fn every_keyword_tells_right_from_wrong() {
    let cases: Value = serde_json::from_str(include_str!("cases.json")).unwrap();
    for case in cases.as_array().unwrap() {
        // A schema, values that fit it, and values that do not.
        let (schema, right, wrong) = (&case[0], case[1].as_array().unwrap(), case[2].as_array().unwrap());
        for value in right {
            assert_eq!(problems(schema, value), [""; 0], "{schema} {value}");
        }
        for value in wrong {
            assert_ne!(problems(schema, value), [""; 0], "{schema} {value}");
        }
    }
}

#[test]
fn problems_have_places_and_no_values() {
    let schema = json!({
        "$defs": {"age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "type": "object", "required": ["name", "age"], "unevaluatedProperties": false,
        "properties": {
            "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"}, "age": {"$ref": "#/$defs/age"},
            "mail": {"format": "email"}, "day": {"format": "date"}, "kind": {"enum": ["a", "b"]},
            "a/b": {"anyOf": [{"type": "string"}, {"type": "null"}]}
        },
    });
    assert_eq!(problems(&schema, &json!({"name": "abc", "age": 3, "mail": "a@b.c", "day": "2026-11-27"})), [""; 0]);
    for (value, expected) in [
        (json!([]), " must be an object"),
        (json!({"name": "secret"}), " must have `age`"),
        (json!({"name": "x", "age": 3.5}), "/age must be a whole number"),
        (json!({"name": "x", "age": 900}), "/age must be at most 150"),
        (json!({"name": "SECRET", "age": 1}), "/name must match `^[a-z]+$`"),
        (json!({"name": "x", "age": 1, "mail": "secret"}), "/mail must have the format `email`"),
        (json!({"name": "x", "age": 1, "day": "2026-02-30"}), "/day must have the format `date`"),
        (json!({"name": "x", "age": 1, "kind": "secret"}), "/kind must be one of `\"a\"`, `\"b\"`"),
        (json!({"name": "x", "age": 1, "a/b": 7}), "/a~1b must be a string or must be null"),
        (json!({"name": "x", "age": 1, "more": 7}), "/more must not be there"),
    ] {
        let found = problems(&schema, &value);
        assert!(found.iter().any(|found| found == expected), "{value}: {found:?}");
        assert!(found.iter().all(|found| !found.to_lowercase().contains("secret")), "{found:?}");
    }
    assert_eq!(problems(&json!({"items": {"type": "null"}}), &json!([1, 2, 3, 4, 5])).len(), 3);
}

#[test]
fn messages_say_what_a_value_must_be() {
    for (schema, value, expected) in [
        (json!({"type": ["array", "boolean"]}), json!(1), " must be a list or true or false"),
        (json!({"const": [1]}), json!(1), " must be `[1]`"),
        (json!({"exclusiveMinimum": 1}), json!(1), " must be more than 1"),
        (json!({"exclusiveMaximum": 1.5}), json!(2), " must be less than 1.5"),
        (json!({"multipleOf": 0.1}), json!(0.25), " must be a multiple of 0.1"),
        (json!({"minLength": 2}), json!("x"), " must have at least 2 characters"),
        (json!({"maxItems": 1}), json!([1, 2]), " must have at most 1 elements"),
        (json!({"minProperties": 1}), json!({}), " must have at least 1 members"),
        (json!({"uniqueItems": true}), json!([3, 1, 3]), " must not have equal elements, as at 0 and 2"),
        (json!({"required": ["a", "b", "c"]}), json!({"b": 1}), " must have `a`, `c`"),
        (json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1}), " must have `b` beside `a`"),
        (
            json!({"additionalProperties": false, "properties": {"a": {}}}),
            json!({"a": 1, "b": 2}),
            " must not have `b`",
        ),
        (json!({"propertyNames": {"maxLength": 1}}), json!({"ab": 1}), " has a member whose name is not allowed"),
        (json!({"contains": {"type": "null"}}), json!([1]), " must have an element of the kind that is asked for"),
        (
            json!({"contains": true, "maxContains": 1}),
            json!([1, 2]),
            " must have at most 1 elements of the kind that is asked for",
        ),
        (json!({"oneOf": [true, true]}), json!(1), " must fit only one of the forms that the schema has for it"),
        (
            json!({"anyOf": [{"items": false}, {"type": "null"}]}),
            json!([1]),
            " must fit one of the forms that the schema has for it",
        ),
        (json!({"not": true}), json!(1), " must not have the form that the schema excludes"),
        (json!({"prefixItems": [{}, {"properties": {"~": false}}]}), json!([1, {"~": 1}]), "/1/~0 must not be there"),
    ] {
        assert_eq!(problems(&schema, &value), [expected], "{schema} {value}");
    }
}

#[test]
fn wrong_schemas_are_refused_with_their_place() {
    for (schema, expected) in [
        (json!(1), "`` must be a schema: an object, true or false"),
        (
            json!({"type": "strnig"}),
            "`/type` must be one of `array`, `boolean`, `integer`, `null`, `number`, `object`, `string` or a list of them",
        ),
        (json!({"type": []}), "`/type` must be one of"),
        (json!({"type": ["null", "null"]}), "`/type` must be one of"),
        (json!({"properties": {"x": {"minimum": "1"}}}), "`/properties/x/minimum` must be a number"),
        (json!({"properties": []}), "`/properties` must be an object"),
        (json!({"$defs": {"a/b": {"not": 3}}}), "`/$defs/a~1b/not` must be a schema: an object, true or false"),
        (json!({"minLength": -1}), "`/minLength` must be a whole number of at least 0"),
        (json!({"maxItems": 1.5}), "`/maxItems` must be a whole number of at least 0"),
        (json!({"multipleOf": 0}), "`/multipleOf` must be a number above 0"),
        (json!({"allOf": []}), "`/allOf` must be a list of schemas"),
        (json!({"items": [{"type": "null"}]}), "`/items` must be a schema: an object, true or false"),
        (json!({"required": ["a", "a"]}), "`/required` must be a list of different strings"),
        (json!({"required": true}), "`/required` must be a list of different strings"),
        (
            json!({"dependentRequired": {"a": "b"}}),
            "`/dependentRequired` must be an object with a list of different strings for each name",
        ),
        (json!({"uniqueItems": 1}), "`/uniqueItems` must be true or false"),
        (json!({"title": 1}), "`/title` must be a string"),
        (json!({"examples": 1}), "`/examples` must be a list"),
        (json!({"$anchor": "1"}), "`/$anchor` must be a name of letters, digits, `-`, `_` and `.`"),
        (json!({"$id": "a#b"}), "`/$id` must be a URI reference without a fragment"),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            "`/$schema` must be `https://json-schema.org/draft/2020-12/schema`, the one that is known here",
        ),
        (json!({"$ref": "https://example.org/schema"}), "another document, `https://example.org/schema`"),
        (json!({"$ref": "file:///etc/passwd"}), "another document, `file:///etc/passwd`"),
        (json!({"$ref": "#/$defs/nothing"}), "`/$ref` refers to `#/$defs/nothing`, which is not there"),
        (json!({"$dynamicRef": "#nothing"}), "`/$dynamicRef` refers to `#nothing`, which is not there"),
        (json!({"$ref": "#/minimum", "minimum": 1}), "`/minimum` must be a schema"),
        (
            json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}),
            "/$anchor` names `x`, which another schema is called as well",
        ),
        (
            json!({"$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}),
            "/$id` names `x`, which another schema is called as well",
        ),
        (json!({"pattern": "("}), "`/pattern` is no regular expression that is taken: `(` has no end at character 1"),
        (
            json!({"pattern": "(?=a)"}),
            "`/pattern` is no regular expression that is taken: look-around cannot be used here",
        ),
        (json!({"patternProperties": {"(": {}}}), "`/patternProperties` has no pattern `(`"),
    ] {
        let error = wrong(&schema);
        assert!(error.contains(expected), "{schema}: {error}");
    }
}

#[test]
fn schemas_that_never_end_are_refused() {
    let end = " leads back to itself for the same value, and so on without end";
    for (schema, place) in [
        (json!({"$ref": "#"}), ""),
        (json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}), "/$defs/"),
        (
            json!({"properties": {"x": {"anyOf": [{"type": "null"}, {"not": {"$ref": "#/properties/x"}}]}}}),
            "/properties/x",
        ),
        (json!({"if": true, "then": {"$ref": "#"}}), ""),
        (json!({"dependentSchemas": {"a": {"$dynamicRef": "#"}}}), ""),
        (json!({"$dynamicAnchor": "a", "oneOf": [{"$dynamicRef": "#a"}]}), ""),
    ] {
        let error = wrong(&schema);
        assert!(error.contains(place) && error.ends_with(end), "{schema}: {error}");
    }
    // Two resources have the anchor, so that only a value shows where it leads.
    let schema = json!({"$id": "https://example.org/a", "$dynamicAnchor": "x", "$ref": "b", "$defs": {
        "b": {"$id": "b", "$dynamicAnchor": "x", "$dynamicRef": "#x"}}});
    assert_eq!(problems(&schema, &json!(1)), [" is nested too deep to be held against its schema"]);
}

#[test]
fn hostile_schemas_and_values_cost_a_bounded_amount() {
    let schema = doubled(&json!({"type": "integer"}), 40);
    assert_eq!(problems(&schema, &json!(1)), [" takes too much work to be held against its schema"]);

    // A chain of references is as deep as it is long.
    let chain = |length: usize, link: fn(Value) -> Value| {
        let links = (0..length).map(|at| (at.to_string(), link(json!({"$ref": format!("#/$defs/{}", at + 1)}))));
        let links: serde_json::Map<_, _> = links.chain([(length.to_string(), json!({"type": "integer"}))]).collect();
        json!({"$defs": links, "$ref": "#/$defs/0"})
    };
    assert_eq!(problems(&chain(700, |link| link), &json!(1)), [""; 0]);
    for link in
        [|link| link, |link| json!({"anyOf": [link]}), |link| json!({"if": {"not": link}, "else": {"oneOf": [link]}})]
    {
        let too_deep = " is nested too deep to be held against its schema";
        assert_eq!(problems(&chain(10_000, link), &json!({"a": 1})), [too_deep]);
    }

    // As deep as JSON is read, on the stack of a server's thread.
    let mut nested = json!(1);
    for _ in 0..127 {
        nested = json!({"a": [nested]});
    }
    let tree = json!({"$defs": {"list": {"items": {"$ref": "#"}}}, "unevaluatedProperties": false,
        "allOf": [{"anyOf": [{"properties": {"a": {"$ref": "#/$defs/list"}}}]}]});
    assert_eq!(problems(&tree, &nested), [""; 0]);
}

#[test]
fn large_values_are_checked() {
    let many = json!((0..300_000).collect::<Vec<u32>>());
    assert_eq!(problems(&json!({"items": {"type": "integer"}, "uniqueItems": true}), &many), [""; 0]);
    assert_eq!(problems(&json!({"items": {"type": "null"}}), &many).len(), 3);
}

/// A schema that holds another one 2^`doublings` times against a value.
fn doubled(schema: &Value, doublings: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for number in 0..doublings {
        let next = json!({"$ref": format!("#/$defs/{}", number + 1)});
        definitions.insert(number.to_string(), json!({"allOf": [next, next]}));
    }
    definitions.insert(doublings.to_string(), schema.clone());
    json!({"$defs": definitions, "$ref": "#/$defs/0"})
}

#[test]
fn long_texts_and_lists_count_for_what_they_are() {
    let too_much = " takes too much work to be held against its schema";
    let text = json!("/".repeat(100_000));
    let list = json!((0..300).collect::<Vec<u32>>());
    for (schema, value) in [
        (json!({"pattern": "^/"}), &text),
        (json!({"format": "json-pointer"}), &text),
        (json!({"uniqueItems": true}), &list),
        (json!({"enum": [[1], list]}), &list),
        (json!({"unevaluatedItems": true}), &list),
        (json!({"patternProperties": {"^a": true}}), &json!({"a".repeat(100_000): 1})),
    ] {
        assert_eq!(problems(&doubled(&schema, 13), value), [too_much], "{schema}");
        assert_eq!(problems(&doubled(&schema, 3), value), [""; 0], "{schema}");
    }
    // Large requests may take more.
    assert_eq!(
        problems(&doubled(&json!({"pattern": "^a", "minLength": 1}), 3), &json!("a".repeat(20_000_000))),
        [""; 0]
    );
}

#[test]
fn unions_told_apart_by_a_tag_may_nest() {
    let form = |tag: &str| {
        json!({"type": "object", "required": ["op"], "properties": {
            "args": {"type": "array", "items": {"$ref": "#/$defs/any"}}, "op": {"const": tag}}})
    };
    let forms = ["add", "divide", "multiply", "negate", "subtract"].map(form);
    let schema = json!({"$defs": {"any": {"oneOf": forms}}, "$ref": "#/$defs/any"});
    let leaf = json!({"op": "negate", "args": []});
    let nested = |innermost: &str| {
        (0..40).fold(json!({"op": innermost, "args": []}), |inner, _| json!({"op": "subtract", "args": [inner, leaf]}))
    };
    assert_eq!(problems(&schema, &nested("add")), [""; 0]);
    assert_eq!(problems(&schema, &nested("x")), [" must fit one of the forms that the schema has for it"]);
    // Problems are told in the order of the members.
    let schema = json!({"properties": {"a": {"items": {"type": "null"}}, "b": {"const": 1}}});
    assert_eq!(problems(&schema, &json!({"a": [1], "b": 2})), ["/a/0 must be null", "/b must be `1`"]);
}

#[test]
fn long_names_are_cut_in_places() {
    let schema = json!({"additionalProperties": {"additionalProperties": {"type": "null"}}});
    let name = "/".repeat(1 << 20);
    let value = json!({ name.as_str(): {name.as_str(): 1} });
    let part = format!("/{}", "~1".repeat(100));
    assert_eq!(problems(&schema, &value), [format!("{part}{part} must be null")]);
}

#[test]
fn problems_found_before_the_work_becomes_too_much_are_told() {
    let mut schema = doubled(&json!({"minimum": 0}), 40);
    schema["type"] = json!("integer");
    assert_eq!(problems(&schema, &json!(1.5)), [" must be a whole number"]);
    assert_eq!(problems(&schema, &json!(1)), [" takes too much work to be held against its schema"]);
    // What only seems to be wrong since the work was cut short is none.
    let mut schema = doubled(&json!({"minimum": 0}), 40);
    schema["contains"] = json!({"$ref": "#/$defs/0"});
    schema["maxItems"] = json!(1);
    assert_eq!(problems(&schema, &json!([1, 1])), [" must have at most 1 elements"]);
}

#[test]
fn the_compiler_is_as_strict_as_the_metaschema() {
    let metaschema = JsonSchema::new(&json!({"$ref": library::METASCHEMA})).unwrap().unwrap();
    let values = json!([null, true, 0, -1, 1.5, 3, "", "a", "^a", "null", [], [1], ["a"], ["a", "a"], ["null"], [{}], {}, {"a": 1},
        {"a": true}, {"a": "b"}, {"a": []}, {"a": ["b"]}, {"a": ["b", "b"]}, {"a": {}}, {"type": 1}, {"a": {"minimum": []}}]);
    let vocabularies = ["core", "applicator", "unevaluated", "validation", "meta-data", "format-annotation", "content"];
    let keywords = vocabularies.iter().flat_map(|name| library::metaschema_keywords(name));
    let mut compared = 0;
    for keyword in keywords {
        for value in values.as_array().unwrap() {
            let schema = json!({ keyword.as_str(): value });
            let expected = metaschema.problems(&schema, 1);
            let found = JsonSchema::new(&schema).err();
            // References that lead nowhere, other metaschemas and addresses are more than the metaschema looks at.
            if expected.is_empty() && ["$ref", "$dynamicRef", "$schema"].contains(&keyword.as_str()) {
                continue;
            }
            assert_eq!(found.is_some(), !expected.is_empty(), "{schema}: {found:?} {expected:?}");
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared}");
}
