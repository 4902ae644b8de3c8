//! What to write instead: words of other tools and what they are here, and examples of mappings.

use super::text::{alternatives, nearest};

/// Words of other tools, and those here that mean the same where they are taken.
const SYNONYMS: &[(&[&str], &[&str])] = &[
    // Types of columns and elements.
    (&["float", "float32", "float64", "double", "numeric"], &["number"]),
    (&["int", "int32", "int64", "long"], &["integer"]),
    (&["str", "text", "object", "character"], &["string"]),
    (&["bool", "logical"], &["boolean"]),
    (&["timestamp"], &["datetime"]),
    (&["categorical", "factor"], &["category"]),
    (&["double"], &["float64"]),
    (&["long"], &["int64"]),
    // Types of data.
    (&["dataframe", "data.frame"], &["table"]),
    (&["array", "ndarray"], &["tensor"]),
    (&["file", "audio", "bytes"], &["binary"]),
    (&["string", "str"], &["text"]),
    (&["dict", "object"], &["json"]),
    // Other values.
    (&["v1"], &["kserve", "tensorflow"]),
    (&["arm64", "aarch64"], &["linux/arm64"]),
    (&["amd64", "x86_64"], &["linux/amd64"]),
    // Keys.
    (&["max_batch_size", "batch_size"], &["max_batch_rows"]),
    (&["min"], &["minimum"]),
    (&["max"], &["maximum"]),
    (&["values", "choices", "levels"], &["enum"]),
    (&["file"], &["path"]),
];

/// Keys that other tools have, and where to look for what they say.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["path", "model", "models"], "the model's files are named in `artifacts`: `artifacts: {model: model.joblib}`"),
    (&["packages", "requirements", "dependencies"], "packages are named in `runtime.packages`"),
    (&["system_packages", "apt"], "Debian packages are named in `system.packages`"),
    (&["env"], "environment variables of the image are set in `image.env`"),
    (&["labels"], "labels of the image are set in `image.labels`"),
    (&["port", "host"], "the port is chosen where it runs: `mlpack serve --port`, or MLPACK_PORT in a container"),
    (&["auth", "api_key", "api_keys"], "keys are set where it runs: MLPACK_API_KEYS_FILE"),
    (&["gpu", "cuda"], "nothing to set: a container engine brings the driver"),
    (&["base", "base_image"], "there is no base image: packages come from Debian"),
    (&["required"], "`nullable: true` lets a value be missing, and a `default` lets a column be left out"),
];

/// An example of each mapping with names of the user's, by its key.
const EXAMPLES: &[(&str, &str)] = &[
    ("artifacts", "give each a name: `artifacts: {model: model.joblib}`"),
    ("columns", "give each a type: `columns: {x: number}`"),
    ("datasets", "give each a name: `datasets: {prices: prices.csv}`"),
    ("endpoints", "give each a name: `endpoints: {predict: {input: …, output: …}}`"),
    ("env", "write `env: {NAME: value}`"),
    ("labels", "write `labels: {org.example.team: value}`"),
    ("repositories", "give each a name: `repositories: {cran: https://example.org/cran}`"),
    ("versions", "write `versions: {\"2.0.0\": {artifacts: {model: model-2.joblib}}}`"),
];

/// Returns how the mapping at a key is written.
pub(super) fn example(key: &str) -> &'static str {
    let found = EXAMPLES.iter().find(|(name, _)| *name == key);
    found.map_or("write `{name: value}`", |(_, example)| example)
}

/// Returns where to look for what an unknown key says.
pub(super) fn elsewhere(key: &str) -> Option<&'static str> {
    let found = ELSEWHERE.iter().find(|(words, _)| has(words, key));
    found.map(|(_, sentence)| *sentence)
}

/// Returns which of the candidates a word most likely stands for: those that mean the same, else the one that is spelt alike.
pub(super) fn meant<'a>(word: &str, candidates: &[&'a str]) -> Vec<&'a str> {
    let of = |meanings: &[&str]| candidates.iter().filter(|candidate| meanings.contains(candidate)).copied().collect();
    let mut same = SYNONYMS.iter().filter(|(words, _)| has(words, word)).map(|(_, meanings)| of(meanings));
    same.find(|meant: &Vec<&str>| !meant.is_empty())
        .unwrap_or_else(|| nearest(word, candidates.iter().copied()).into_iter().collect())
}

/// Turns what was meant into the end of a message.
pub(super) fn question(meant: &[&str]) -> String {
    if meant.is_empty() {
        return String::new();
    }
    format!(", did you mean {}?", alternatives(meant.iter().copied()))
}

fn has(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::keys;

    #[test]
    fn a_synonym_is_asked_before_the_spelling_and_only_where_it_fits() {
        assert_eq!(meant("str", keys::COLUMN_TYPES), ["string"]);
        assert_eq!(meant("str", keys::DATA_TYPES), ["text"]);
        assert_eq!(meant("DataFrame", keys::DATA_TYPES), ["table"]);
        assert_eq!(meant("v1", keys::PROTOCOLS), ["kserve", "tensorflow"]);
        assert_eq!(meant("double", keys::DTYPES), ["float64"]);
        assert_eq!(meant("numbr", keys::COLUMN_TYPES), ["number"]);
        assert!(meant("colour", keys::COLUMN_TYPES).is_empty());
    }

    #[test]
    fn each_synonym_stands_for_a_word_of_the_manifest() {
        let words = [keys::COLUMN_TYPES, keys::DTYPES, keys::DATA_TYPES, keys::PROTOCOLS, keys::PLATFORMS].concat();
        let sections = [keys::SERVER, keys::COLUMN_FIELDS, keys::ASSET_FIELDS];
        let names = sections.iter().flat_map(|section| section.iter().map(|key| key.name));
        let known: Vec<&str> = words.into_iter().chain(names).collect();
        for (_, meanings) in SYNONYMS {
            assert!(meanings.iter().all(|meaning| known.contains(meaning)), "{meanings:?}");
        }
    }
}
