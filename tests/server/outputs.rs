//! What services give that does not fit their contract, in Python and, where it is installed, in R.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

#[test]
fn a_missing_value_is_no_value_of_a_column_that_must_have_one() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        whole = {'text': 'a', 'whole': 1, 'number': 0.5, 'truth': True, 'day': '2026-01-31',
                 'moment': '2026-01-31T12:00:00Z', 'level': 'low'}
        return {name: [value, None if name == rows['x'][0] else value] for name, value in whole.items()}
";
    let columns = [
        column("text", "string", json!({})),
        column("whole", "integer", json!({})),
        column("number", "number", json!({})),
        column("truth", "boolean", json!({})),
        column("day", "date", json!({})),
        column("moment", "datetime", json!({})),
        column("level", "category", json!({"enum": ["low", "high"]})),
    ];
    let input = table(&[column("x", "string", json!({}))]);
    let server = Service::new(code).endpoint("predict", &input, &table(&columns)).start();
    let ask = |name: &str| server.post("/predict", &json!({"rows": [{"x": name}, {"x": name}]}));
    assert_eq!(ask("nothing").0, 200);
    for column in columns {
        let name = column["name"].as_str().unwrap();
        let (status, answer) = ask(name);
        assert_eq!((status, &answer["error"]["code"]), (500, &json!("invalid_output")), "{name}: {answer}");
        let said = format!("column `{name}` has a missing value in row 2");
        server.until(|| server.log().contains(&said));
    }
}

/// With numpy, where Python has it.
#[test]
fn whole_numbers_fit_the_tensors_type_or_are_refused() {
    let code = "
try:
    from numpy import array as made
except ImportError:
    made = list
class Model:
    def __init__(self, bundle): pass
    def small(self, numbers): return made(numbers)
    def positive(self, numbers): return list(numbers)
";
    let tensor = |dtype: &str| json!({"type": "tensor", "dtype": dtype, "shape": [null]});
    let server = Service::new(code)
        .endpoint("small", &json!({"type": "json", "schema": {}}), &tensor("int8"))
        .endpoint("positive", &json!({"type": "json", "schema": {}}), &tensor("uint16"))
        .start();
    for (path, numbers) in [("/small", [-128, 127]), ("/positive", [0, 65535])] {
        assert_eq!(server.post(path, &json!(numbers)), (200, json!({"tensor": numbers})));
    }
    for (path, numbers) in [("/small", [300, 0]), ("/small", [0, -129]), ("/positive", [0, -1])] {
        let (status, answer) = server.post(path, &json!(numbers));
        assert_eq!((status, &answer["error"]["code"]), (500, &json!("invalid_output")), "{numbers:?}: {answer}");
    }
    let (status, answer) = server.post("/small", &json!([0.5]));
    assert_eq!((status, &answer["error"]["code"]), (500, &json!("invalid_output")), "{answer}");
}

/// With numpy, where Python has it: its times are whole nanoseconds.
#[test]
fn a_time_that_is_missing_is_none() {
    let code = "
from datetime import datetime
try:
    from numpy import array
    made = lambda texts: array(texts, dtype='datetime64[ns]')
except ImportError:
    made = lambda texts: [None if text == 'NaT' else datetime.fromisoformat(text) for text in texts]
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows): return {'t': made(['2026-01-02T03:04:05.000001', 'NaT']), 'd': made(['2026-01-02', 'NaT'])}
";
    let columns = [("t", "datetime"), ("d", "date")].map(|(name, kind)| column(name, kind, json!({"nullable": true})));
    let server =
        Service::new(code).endpoint("predict", &table(&[column("x", "number", json!({}))]), &table(&columns)).start();
    let rows = json!({"rows": [{"x": 1}, {"x": 2}]});
    let expected = json!({"rows": [{"t": "2026-01-02T03:04:05.000001Z", "d": "2026-01-02"}, {"t": null, "d": null}]});
    assert_eq!(server.post("/predict", &rows), (200, expected));
}

#[test]
fn numbers_that_json_lacks_are_written_where_a_protocol_has_them() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, x): return [float('nan'), float('inf'), float('-inf'), 0.5]
";
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null]});
    let start = |protocols: &[&str]| {
        Service::new(code).endpoint("predict", &tensor, &tensor).server("protocols", json!(protocols)).start()
    };
    let server = start(&["kserve", "tensorflow", "mlflow", "seldon", "v2"]);
    let post = |server: &Server, path: &str, body: Value| {
        let (status, _, answer) = server.exchange("POST", path, "application/json", body.to_string().as_bytes(), &[]);
        (status, answer)
    };
    let instances = json!({"instances": [1, 2, 3, 4]});
    let words = (200, b"{\"predictions\":[NaN,Infinity,-Infinity,0.5]}".to_vec());
    assert_eq!(post(&server, "/invocations", instances.clone()), words);
    let input = json!({"name": "x", "datatype": "FP32", "shape": [1], "data": [1]});
    let bytes = json!({"inputs": [input], "parameters": {"binary_data_output": true}});
    let (status, answer) = post(&server, "/v2/models/test/infer", bytes);
    let elements = [f32::INFINITY, f32::NEG_INFINITY, 0.5].map(f32::to_le_bytes).concat();
    assert!(status == 200 && answer.ends_with(&elements), "{status} {answer:?}");
    for (path, body) in [
        ("/predict", json!({"tensor": [1]})),
        ("/v2/models/test/infer", json!({"inputs": [input]})),
        ("/v1/models/test:predict", instances.clone()),
        ("/api/v1.0/predictions", json!({"data": {"ndarray": [1]}})),
    ] {
        let (status, answer) = post(&server, path, body);
        assert!(status == 500 && serde_json::from_slice::<Value>(&answer).is_ok(), "{path}: {status}");
        assert!(String::from_utf8_lossy(&answer).contains("not finite"), "{path}");
    }
    assert_eq!(post(&start(&["tensorflow"]), "/v1/models/test:predict", instances), words);
}

/// R takes only short names for variables, and the header that loads a service may be long.
#[test]
fn r_loads_a_service_with_a_long_contract() {
    let has_r = Command::new("Rscript").args(["-e", "library(jsonlite)"]).output();
    if !has_r.is_ok_and(|output| output.status.success()) {
        return;
    }
    let levels: Vec<Value> = (0..2000).map(|number| json!(format!("level {number}"))).collect();
    let input = table(&[column("x", "category", json!({ "enum": levels }))]);
    let output = table(&[column("y", "string", json!({}))]);
    let code = "load <- function(bundle) NULL\npredict <- function(state, rows) list(y = as.character(rows$x))\n";
    let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes/r/worker.R");
    let command = json!(["R", "--no-echo", "--vanilla", format!("--file={}", worker.display())]);
    let server = Service::new(code).worker("language", json!("r")).worker("command", command);
    let server = server.endpoint("predict", &input, &output).start();
    for count in 1..=300 {
        let rows = vec![json!({"x": "level 1999"}); count];
        assert_eq!(server.post("/predict", &json!({ "rows": rows })).1["rows"][count - 1], json!({"y": "level 1999"}));
    }
}
