//! What to write instead: examples of mappings.

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
