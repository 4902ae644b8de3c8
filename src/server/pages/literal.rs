//! JSON values as literals of JSON itself, of Python and of R, broken into lines where they are long.

use serde_json::Value;

/// The longest literal that stays on one line, in bytes.
const WIDTH: usize = 72;

/// How a language writes a value.
pub(super) struct Language {
    null: &'static str,
    truth: [&'static str; 2],
    list: [&'static str; 2],
    object: [&'static str; 2],
    empty_object: &'static str,
    between: &'static str,
    key: fn(&str) -> String,
    number: fn(&serde_json::Number) -> String,
}

/// JSON.
pub(super) const JSON: Language = Language {
    null: "null",
    truth: ["false", "true"],
    list: ["[", "]"],
    object: ["{", "}"],
    empty_object: "{}",
    between: ": ",
    key: quoted,
    number: ToString::to_string,
};

/// Python.
pub(super) const PYTHON: Language = Language { null: "None", truth: ["False", "True"], ..JSON };

/// R: arrays and objects are both lists.
pub(super) const R: Language = Language {
    null: "NULL",
    truth: ["FALSE", "TRUE"],
    list: ["list(", ")"],
    object: ["list(", ")"],
    empty_object: "setNames(list(), character())",
    between: " = ",
    key: r_name,
    number: r_number,
};

/// Writes the value; lines after the first are indented by `indent` spaces at least.
pub(super) fn write(value: &Value, language: &Language, indent: usize) -> String {
    let line = one_line(value, language);
    if line.len() <= WIDTH {
        return line;
    }
    let deeper = indent + 2;
    match value {
        Value::Array(items) => lines(language.list, items.iter().map(|item| write(item, language, deeper)), indent),
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| {
                format!("{}{}{}", (language.key)(name), language.between, write(member, language, deeper))
            });
            lines(language.object, members, indent)
        }
        _ => line,
    }
}

/// Returns a text in quotes, with the escapes that JSON, Python and R share.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn one_line(value: &Value, language: &Language) -> String {
    match value {
        Value::Null => language.null.to_owned(),
        Value::Bool(truth) => language.truth[usize::from(*truth)].to_owned(),
        Value::Number(number) => (language.number)(number),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| one_line(item, language)).collect();
            language.list.join(&items.join(", "))
        }
        Value::Object(members) if members.is_empty() => language.empty_object.to_owned(),
        Value::Object(members) => {
            let member = |(name, member): (&String, &Value)| {
                format!("{}{}{}", (language.key)(name), language.between, one_line(member, language))
            };
            language.object.join(&members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

fn lines([open, close]: [&str; 2], items: impl Iterator<Item = String>, indent: usize) -> String {
    let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
    format!("{open}\n{inner}{}\n{outer}{close}", items.collect::<Vec<_>>().join(&format!(",\n{inner}")))
}

/// Names that R would read as something else are quoted.
fn r_name(name: &str) -> String {
    const WORDS: [&str; 12] =
        ["FALSE", "Inf", "NA", "NULL", "NaN", "TRUE", "break", "for", "function", "if", "next", "while"];
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let other = ["else", "in", "repeat"].contains(&name);
    if plain && begins && !other && !WORDS.contains(&name) { name.to_owned() } else { quoted(name) }
}

/// Whole numbers are integers, as far as R has them.
fn r_number(number: &serde_json::Number) -> String {
    match number.as_i64() {
        Some(whole) if i32::try_from(whole).is_ok_and(|whole| whole != i32::MIN) => format!("{whole}L"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_language_has_its_own_words() {
        let value = json!({"a b": [null, true, 1.5, 2, "it's \"x\""], "if": {}});
        assert_eq!(write(&value, &JSON, 0), r#"{"a b": [null, true, 1.5, 2, "it's \"x\""], "if": {}}"#);
        assert_eq!(write(&value, &PYTHON, 0), r#"{"a b": [None, True, 1.5, 2, "it's \"x\""], "if": {}}"#);
        let r = "list(\n  \"a b\" = list(NULL, TRUE, 1.5, 2L, \"it's \\\"x\\\"\"),\n  \"if\" = setNames(list(), character())\n)";
        assert_eq!(write(&value, &R, 0), r);
    }

    #[test]
    fn long_values_take_several_lines() {
        let value = json!({"rows": [{"first": "a".repeat(40), "second": "b".repeat(40)}]});
        let text = write(&value, &JSON, 4);
        assert!(text.starts_with("{\n      \"rows\": [\n        {\n          \"first\": "), "{text}");
        assert!(text.ends_with("\n        }\n      ]\n    }"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
