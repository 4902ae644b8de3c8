//! What the container answers over HTTP is, bit for bit, what the model gives when it is called in process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::engine::Engine;
use crate::support::http::{client, post, try_post};
use crate::support::project::example;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::{mlpack, succeed};

/// Calls the service as its file stands in the image, with all names at once and with each alone.
const PREDICT: &str = r#"
import json, struct, sys
sys.path.insert(0, "/opt/mlpack/app")
import pandas
from service import Classifier

class Bundle:
    contract = json.load(open("/opt/mlpack/service.json"))
    def artifact(self, name):
        return self.contract["artifacts"][name]["path"]
    def dataset(self, name):
        return self.contract["datasets"][name]["path"]

classifier, names = Classifier(Bundle()), json.load(open("/given/names.json"))

def predict(names):
    found = classifier.classify(pandas.DataFrame({"name": names}))
    return [[label, struct.pack(">d", score).hex()] for label, score in zip(found["label"], found["probability"])]

print(json.dumps([predict(names), [predict([name])[0] for name in names]]))
"#;

/// A prediction, with the probability as the bits of its number.
type Prediction = (String, String);

#[derive(Deserialize)]
struct Answer {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    label: String,
    /// As it is written: the standard library reads it exactly.
    probability: Box<RawValue>,
}

#[test]
fn the_container_predicts_as_the_model_does_in_process() {
    let names = held_out();
    let (podman, registry) = (Engine::podman(), Registry::start());
    let image = registry.name("b2x:1");
    succeed(mlpack(example().home()).args(["push", &example().digest, &image]));
    podman.pull(&image);
    let [together, alone] = in_process(&podman, &image, &names);
    let container = podman.serve(&image);
    let url = format!("{}/classify", container.url);
    let rows: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    assert_eq!(read(&post(&url, &json!({ "rows": rows })).body), together);
    assert_eq!(one_by_one(&url, &names, 1), alone);
    // Requests at the same time are merged into calls of some rows, whose sums numpy may add up in another order.
    for (merged, alone) in one_by_one(&url, &names, 16).iter().zip(&alone) {
        assert_eq!(merged.0, alone.0);
        let last_digits = bits(&merged.1).abs_diff(bits(&alone.1));
        assert!(last_digits <= 8, "{merged:?} {alone:?}");
    }
}

fn bits(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

/// The 200 names that training never saw.
fn held_out() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/b2x-python/data/held_out.csv");
    let text = fs::read_to_string(path).unwrap();
    // Each line is a name, in quotes where it holds a comma or quotes, and a label.
    let name = |line: &str| {
        let name = line.rsplit_once(',').unwrap().0;
        let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        quoted.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\""))
    };
    let names: Vec<_> = text.lines().skip(1).map(name).collect();
    assert_eq!(names.len(), 200);
    names
}

fn in_process(engine: &Engine, image: &str, names: &[String]) -> [Vec<Prediction>; 2] {
    let folder = Scratch::new();
    fs::write(folder.join("names.json"), json!(names).to_string()).unwrap();
    fs::write(folder.join("predict.py"), PREDICT).unwrap();
    let volume = format!("{}:/given:ro", folder.display());
    let printed = engine.output(image, &["--volume", &volume], &["/usr/bin/python3.11", "/given/predict.py"]);
    serde_json::from_str(&printed).unwrap()
}

/// Sends each name in a request of its own, from so many clients at once.
fn one_by_one(url: &str, names: &[String], clients: usize) -> Vec<Prediction> {
    let ask = |start: usize| {
        let client = client();
        let mine = (start..names.len()).step_by(clients);
        mine.map(|index| {
            let rows = json!({ "rows": [{ "name": names[index] }] });
            let answer = try_post(&client, url, &rows).expect("the container answers");
            (index, read(&answer.body).remove(0))
        })
        .collect::<Vec<_>>()
    };
    let found: BTreeMap<_, _> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|start| scope.spawn(move || ask(start))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    found.into_values().collect()
}

fn read(body: &str) -> Vec<Prediction> {
    let answer: Answer = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let bits = |row: Row| (row.label, format!("{:016x}", row.probability.get().parse::<f64>().unwrap().to_bits()));
    answer.rows.into_iter().map(bits).collect()
}
