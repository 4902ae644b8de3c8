//! The Open Inference Protocol V2 over REST.

use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

/// Makes a request wrong.
type Change = dyn Fn(&mut Value);

const CODE: &str = "
class InputError(ValueError): pass
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if 13 in list(rows['count']): raise InputError('thirteen is not served')
        return {'label': [f'{n}:{c}' for n, c in zip(rows['name'], rows['count'])], 'score': [x * 2 for x in rows['weight']],
            'when': [None if c == 0 else c for c in rows['count']]}
    def tensor(self, x): return x
    def shout(self, text): return text.upper()
    def reverse(self, data): return data[::-1]
";

fn server() -> Server {
    let input = table(&[
        column("name", "string", json!({})),
        column("count", "integer", json!({"default": 7})),
        column("weight", "number", json!({})),
    ]);
    let output = table(&[
        column("label", "string", json!({})),
        column("score", "number", json!({})),
        column("when", "integer", json!({"nullable": true})),
    ]);
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 2]});
    let (text, binary) = (json!({"type": "text"}), json!({"type": "binary", "media_type": "image/png"}));
    Service::new(CODE)
        .endpoint("predict", &input, &output)
        .endpoint("tensor", &tensor, &tensor)
        .endpoint("shout", &text, &text)
        .endpoint("reverse", &binary, &binary)
        .start()
}

fn inputs() -> Value {
    json!([
        {"name": "name", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
        {"name": "count", "shape": [2, 1], "datatype": "INT32", "data": [[1], [0]]},
        {"name": "weight", "shape": [2], "datatype": "FP32", "data": [0.5, 2]},
    ])
}

#[test]
fn the_server_and_its_models_describe_themselves() {
    let server = server();
    assert_eq!(server.get("/v2").1["extensions"], json!(["binary_tensor_data", "classification", "model_repository"]));
    assert_eq!(server.get("/v2/health/live"), (200, json!({"live": true})));
    assert_eq!(server.get("/v2/health/ready"), (200, json!({"ready": true})));
    assert_eq!(server.get("/v2/models").1["models"], json!(["test", "predict", "reverse", "shout", "tensor"]));
    assert_eq!(server.get("/v2/models/test/ready"), (200, json!({"name": "test", "ready": true})));
    let expected = json!({
        "name": "test", "versions": ["1"], "platform": "mlpack_python",
        "inputs": [
            {"name": "name", "datatype": "BYTES", "shape": [-1]},
            {"name": "count", "datatype": "INT64", "shape": [-1]},
            {"name": "weight", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "when", "datatype": "INT64", "shape": [-1]},
        ],
    });
    assert_eq!(server.get("/v2/models/test/versions/1"), (200, expected));
    assert_eq!(
        server.get("/v2/models/tensor").1["inputs"],
        json!([{"name": "input", "datatype": "FP32", "shape": [-1, 2]}])
    );
    let (status, index) = server.post("/v2/repository/index", &json!({}));
    assert_eq!(server.post("/v2/repository/index", &json!({"ready": true})).1, index);
    assert_eq!(server.exchange("POST", "/v2/repository/index", "", b"", &[]).0, 200, "most clients send no body");
    assert_eq!(server.exchange("POST", "/v2/repository/index", "", &[b'['; 5000], &[]).0, 413);
    server.until(|| server.log().contains("\"path\":\"/v2/repository/index\""));
    assert_eq!((status, &index[0]), (200, &json!({"name": "test", "version": "1", "state": "READY", "reason": ""})));
    for path in ["/v2/models/nobody", "/v2/models/test/versions/9", "/v2/models/nobody/ready"] {
        let (status, answer) = server.get(path);
        assert!(status == 404 && answer["error"].is_string(), "{path}: {answer}");
    }
}

#[test]
fn a_table_is_one_tensor_for_each_column() {
    let server = server();
    let (status, answer) = server.post("/v2/models/test/infer", &json!({"id": "7", "inputs": inputs()}));
    let expected = json!({"model_name": "test", "model_version": "1", "id": "7", "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a:1", "b:0"]},
        {"name": "score", "datatype": "FP64", "shape": [2], "data": [1.0, 4.0]},
        {"name": "when", "datatype": "INT64", "shape": [2], "data": [1, null]},
    ]});
    assert_eq!((status, answer), (200, expected));
    let some = json!({"inputs": inputs(), "outputs": [{"name": "score"}]});
    let (status, answer) = server.post("/v2/models/predict/versions/1/infer", &some);
    assert_eq!((status, answer["outputs"].as_array().unwrap().len()), (200, 1));
    let mut short = inputs();
    short.as_array_mut().unwrap().remove(1);
    let (_, answer) = server.post("/v2/models/test/infer", &json!({"inputs": short}));
    assert_eq!(answer["outputs"][0]["data"], json!(["a:7", "b:7"]), "the default stands for what is left out");
}

#[test]
fn a_matrix_gives_all_columns_of_a_table_of_numbers() {
    let code = "class Model:\n    def __init__(self, bundle): pass\n    def sum(self, rows): return {'s': [a - b for a, b in zip(rows['a'], rows['b'])]}\n";
    let input = table(&[column("a", "number", json!({})), column("b", "number", json!({}))]);
    let server = Service::new(code).endpoint("sum", &input, &table(&[column("s", "number", json!({}))])).start();
    let body = json!({"inputs": [{"name": "input-0", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [5, 3]]}]});
    assert_eq!(server.post("/v2/models/test/infer", &body).1["outputs"][0]["data"], json!([-1.0, 2.0]));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let server = server();
    let problem = |change: &Change| {
        let mut body = json!({"inputs": inputs()});
        change(&mut body);
        let (status, answer) = server.post("/v2/models/test/infer", &body);
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let cases: [(&Change, &str); 10] = [
        (&|body| body["inputs"][0]["name"] = json!("nobody"), "/inputs/0/name is unknown"),
        (
            &|body| body["inputs"][0]["data"] = json!(["a"]),
            "/inputs/0/data must have as many elements as its shape says",
        ),
        (&|body| body["inputs"][1]["data"] = json!([1, "x"]), "/inputs/1/data/1 must be a whole number of 64 bits"),
        (&|body| body["inputs"][2]["data"] = json!([1, {}]), "/inputs/2/data must be a list of values"),
        (&|body| body["inputs"][2]["shape"] = json!([1, 2]), "/inputs/2/shape must be `[rows]` or `[rows, 1]`"),
        (&|body| body["inputs"][2]["datatype"] = json!("FP8"), "/inputs/2/datatype is not a type"),
        (&|body| body["outputs"] = json!([{"name": "nobody"}]), "the model has no output of the name"),
        (
            &|body| body["outputs"] = json!([{"name": "label"}, {"name": "score"}, {"name": "label"}]),
            "`outputs` names an output again at position 2",
        ),
        (&|body| body["inputs"][1]["data"] = json!([13, 1]), "thirteen is not served"),
        (&|body| body["inputs"] = json!(1), "the body does not have the protocol's form: expected a sequence"),
    ];
    for (change, expected) in cases {
        let (status, error) = problem(change);
        assert!(status == 400 && error.contains(expected), "{status} {error}, not {expected}");
    }
    assert_eq!(server.post_as("/v2/models/test/infer", "application/json", b"{", &[]).0, 400);
    assert_eq!(server.post("/v2/models/nobody/infer", &json!({})).0, 404);
}

#[test]
fn texts_and_files_are_elements_of_a_bytes_tensor() {
    let server = server();
    let body = json!({"inputs": [{"name": "x", "shape": [2], "datatype": "BYTES", "data": ["a", "ž"]}]});
    let (status, answer) = server.post("/v2/models/shout/infer", &body);
    assert_eq!((status, &answer["outputs"][0]["data"]), (200, &json!(["A", "Ž"])));
    let file = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["AQD/"],
        "parameters": {"content_type": "base64"}}]});
    let (_, answer) = server.post("/v2/models/reverse/infer", &file);
    assert_eq!(answer["outputs"][0]["data"], json!(["/wAB"]));
    assert_eq!(answer["outputs"][0]["parameters"], json!({"content_type": "base64"}));
}

/// Sends a JSON part and the bytes after it; returns the JSON part of the answer and the bytes after it.
fn binary(server: &Server, path: &str, head: &Value, blob: &[u8]) -> (u16, Value, Vec<u8>) {
    let head = head.to_string();
    let body = [head.as_bytes(), blob].concat();
    let length = head.len().to_string();
    let headers = [("inference-header-content-length", length.as_str())];
    let (status, head, body) = server.exchange("POST", path, "application/octet-stream", &body, &headers);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("inference-header-content-length: "))
        .map_or(body.len(), |length| length.parse().unwrap());
    (status, serde_json::from_slice(&body[..length]).unwrap(), body[length..].to_vec())
}

#[test]
fn tensors_go_there_and_back_as_bytes() {
    let server = server();
    let numbers: Vec<u8> = [1.5_f32, -2.0, 3.25, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let head = json!({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
        "outputs": [{"name": "output", "parameters": {"binary_data": true}}]});
    let (status, answer, blob) = binary(&server, "/v2/models/tensor/infer", &head, &numbers);
    let expected =
        json!([{"name": "output", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}]);
    assert_eq!((status, &answer["outputs"], blob), (200, &expected, numbers));
}

#[test]
fn columns_go_there_and_back_as_bytes_where_nothing_is_missing() {
    let server = server();
    let mut blob = vec![1, 0, 0, 0, b'a', 2, 0, 0, 0];
    blob.extend_from_slice("ž".as_bytes());
    blob.extend([1_i64, 0].iter().flat_map(|number| number.to_le_bytes()));
    blob.extend([0.5_f64, 2.0].iter().flat_map(|number| number.to_le_bytes()));
    let part = |name: &str, datatype: &str, size: usize| json!({"name": name, "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": size}});
    let head = json!({"parameters": {"binary_data_output": true},
        "inputs": [part("name", "BYTES", 11), part("count", "INT64", 16), part("weight", "FP64", 16)]});
    let (status, answer, blob) = binary(&server, "/v2/models/test/infer", &head, &blob);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["outputs"][0]["parameters"], json!({"binary_data_size": 15}));
    assert_eq!(answer["outputs"][2]["data"], json!([1, null]), "no whole number stands for a missing one");
    assert_eq!(blob[..15], [b"\x03\0\0\0a:1".as_slice(), b"\x04\0\0\0", "ž:0".as_bytes()].concat());
    assert_eq!(blob[15..], [1.0_f64, 4.0].map(f64::to_le_bytes).concat());
}

#[test]
fn lying_lengths_are_refused() {
    let server = server();
    let head = |shape: Value, size: u64| json!({"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}]});
    for (head, blob) in [
        (head(json!([1, 2]), 8), [0; 7].as_slice()),
        (head(json!([1, 2]), 8), &[0; 9]),
        (head(json!([1, 2]), u64::MAX), &[0; 8]),
        (head(json!([2, 2]), 8), &[0; 8]),
        (head(json!([1, 3]), 12), &[0; 12]),
        (head(json!([0, 2]), 0), &[]),
        (head(json!([u64::MAX, 2]), 8), &[0; 8]),
    ] {
        let (status, answer, _) = binary(&server, "/v2/models/tensor/infer", &head, blob);
        assert!(status == 400 && answer["error"].is_string(), "{head}: {answer}");
    }
    for length in ["100000", "-1", "x"] {
        let headers = [("inference-header-content-length", length)];
        assert_eq!(server.post_as("/v2/models/tensor/infer", "", b"{}", &headers).0, 400, "{length}");
    }
    let text =
        json!({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]});
    assert_eq!(binary(&server, "/v2/models/shout/infer", &text, &[255, 255, 255, 255, 0]).0, 400);
}

#[test]
fn the_best_classes_stand_in_the_place_of_scores() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def label(self, rows): return {'label': ['b' for _ in rows['x']], 'score': rows['x']}
    def scores(self, rows): return {'a': rows['x'], 'b': [1 - x for x in rows['x']], 'note': [7 for _ in rows['x']]}
    def tensor(self, x): return x
";
    let input = table(&[column("x", "number", json!({}))]);
    let number = |name: &str| column(name, "number", json!({}));
    let label = column("label", "category", json!({"enum": ["a", "b"]}));
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 3]});
    let server = Service::new(code)
        .endpoint("label", &input, &table(&[label, number("score")]))
        .endpoint("scores", &input, &table(&[number("a"), number("b"), column("note", "integer", json!({}))]))
        .endpoint("tensor", &tensor, &tensor)
        .task("label", "classification")
        .task("scores", "classification")
        .start();
    let ask = |model: &str, shape: Value, data: Value, output: &str, most: Value| {
        let body = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data}],
            "outputs": [{"name": output, "parameters": {"classification": most}}]});
        let (status, answer) = server.post(&format!("/v2/models/{model}/infer"), &body);
        (status, answer["outputs"][0].clone())
    };
    let expected = |name: &str, shape: Value, data: Value| {
        (200, json!({"name": name, "datatype": "BYTES", "shape": shape, "data": data}))
    };
    let found = ask("label", json!([2]), json!([0.5, 0.25]), "score", json!(3));
    assert_eq!(found, expected("score", json!([2, 1]), json!(["0.5:1:b", "0.25:1:b"])));
    let found = ask("scores", json!([2]), json!([0.75, 0.25]), "a", json!(1));
    assert_eq!(found, expected("a", json!([2, 1]), json!(["0.75:0:a", "0.75:1:b"])));
    let found = ask("tensor", json!([1, 3]), json!([0.5, 2, 1]), "output", json!(2));
    assert_eq!(found, expected("output", json!([1, 2]), json!(["2:1", "1:2"])));
    assert_eq!(ask("tensor", json!([1, 3]), json!([0, 0, 0]), "output", json!(-1)).0, 400);
}
