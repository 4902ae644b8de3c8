//! KServe V1 and TensorFlow Serving's REST interface.

use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        return {'sum': [a + b for a, b in zip(rows['a'], rows['b'])]}
    def classify(self, rows):
        return {'label': ['yes' if a > 0 else 'no' for a in rows['a']], 'score': [abs(a) for a in rows['a']]}
    def both(self, rows): return {'low': [0.25 for _ in rows['a']], 'high': [0.75 for _ in rows['a']]}
    def tensor(self, x): return x
    def shout(self, text): return text.upper()
    def reverse(self, data): return data[::-1]
    def explain(self, rows): return {'why': rows['a']}
";

fn service() -> Service {
    let number = |name: &str| column(name, "number", json!({}));
    let nullable = column("b", "number", json!({"default": 10.0}));
    let input = table(&[number("a"), nullable]);
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 2]});
    let (text, binary) = (json!({"type": "text"}), json!({"type": "binary", "media_type": "image/png"}));
    Service::new(CODE)
        .endpoint("predict", &input, &table(&[number("sum")]))
        .endpoint("classify", &input, &table(&[column("label", "string", json!({})), number("score")]))
        .endpoint("both", &input, &table(&[number("low"), number("high")]))
        .endpoint("tensor", &tensor, &tensor)
        .endpoint("shout", &text, &text)
        .endpoint("reverse", &binary, &binary)
        .endpoint("explain", &input, &table(&[number("why")]))
        .task("predict", "regression")
        .task("classify", "classification")
}

fn answers(server: &Server, cases: &[(&str, Value, Value)]) {
    for (path, body, expected) in cases {
        assert_eq!(server.post(path, body), (200, expected.clone()), "{path} {body}");
    }
}

#[test]
fn rows_are_objects_lists_or_lone_values() {
    let server = service().start();
    let path = "/v1/models/test:predict";
    answers(
        &server,
        &[
            (path, json!({"instances": [{"a": 1, "b": 2}, {"a": [3]}]}), json!({"predictions": [3.0, 13.0]})),
            (path, json!({"instances": [[1, 2], [3, 4]]}), json!({"predictions": [3.0, 7.0]})),
            (
                "/v1/models/classify:predict",
                json!({"instances": [[-2, 0]]}),
                json!({"predictions": [{"label": "no", "score": 2.0}]}),
            ),
            (
                "/v1/models/test:predict",
                json!({"signature_name": "classify", "instances": [[2, 0]]}),
                json!({"predictions": [{"label": "yes", "score": 2.0}]}),
            ),
            ("/v1/models/tensor:predict", json!({"instances": [[1, 2]]}), json!({"predictions": [[1.0, 2.0]]})),
            ("/v1/models/tensor:predict", json!({"instances": [{"x": [1, 2]}]}), json!({"predictions": [[1.0, 2.0]]})),
            ("/v1/models/shout:predict", json!({"instances": ["a", "ž"]}), json!({"predictions": ["A", "Ž"]})),
            (
                "/v1/models/reverse:predict",
                json!({"instances": [{"b64": "AQD/"}]}),
                json!({"predictions": [{"b64": "/wAB"}]}),
            ),
            ("/v1/models/test:explain", json!({"instances": [[5, 6]]}), json!({"explanations": [5.0]})),
        ],
    );
}

#[test]
fn columns_are_answered_by_column() {
    let server = service().start();
    answers(
        &server,
        &[
            ("/v1/models/test:predict", json!({"inputs": {"a": [1, 3], "b": [2, 4]}}), json!({"outputs": [3.0, 7.0]})),
            (
                "/v1/models/both/versions/1:predict",
                json!({"inputs": {"a": [1]}}),
                json!({"outputs": {"low": [0.25], "high": [0.75]}}),
            ),
            (
                "/v1/models/tensor/labels/stable:predict",
                json!({"inputs": {"x": [[1, 2]]}}),
                json!({"outputs": [[1.0, 2.0]]}),
            ),
            ("/v1/models/tensor:predict", json!({"inputs": [[1, 2]]}), json!({"outputs": [[1.0, 2.0]]})),
        ],
    );
}

#[test]
fn numbers_that_json_lacks_are_read() {
    let nullable = table(&[column("x", "number", json!({"nullable": true}))]);
    let tensor = json!({"type": "tensor", "dtype": "float64", "shape": [null]});
    let code = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows): return {'missing': [x is None or x != x for x in rows['x']]}
    def signs(self, x): return [1.0 if v > 0 else -1.0 if v < 0 else 0.0 for v in x]
";
    let server = Service::new(code)
        .endpoint("predict", &nullable, &table(&[column("missing", "boolean", json!({}))]))
        .endpoint("signs", &tensor, &tensor)
        .start();
    let post = |path, body: &str| server.post_as(path, "application/json", body.as_bytes(), &[]);
    let missing = post("/v1/models/test:predict", "{\"instances\": [NaN, 1.5, null]}");
    assert_eq!(missing, (200, json!({"predictions": [true, false, true]})));
    let signs = post("/v1/models/signs:predict", "{\"instances\": [NaN, -Infinity, Infinity]}");
    assert_eq!(signs, (200, json!({"predictions": [0.0, -1.0, 1.0]})));
    assert_eq!(post("/v1/models/test:predict", "{\"instances\": [Infinity]}").0, 400);
}

#[test]
fn a_bare_nan_is_a_missing_value_of_any_column_and_never_a_text() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        return {'text': [f'{a} {b} {c}' for a, b, c in zip(rows['a'], rows['b'], rows['c'])]}
    def shout(self, text): return text.upper()
    def echo(self, value): return value
";
    let nullable = json!({"nullable": true});
    let input = table(&[
        column("a", "string", nullable.clone()),
        column("b", "integer", nullable),
        column("c", "string", json!({"default": "-"})),
    ]);
    let (text, json) = (json!({"type": "text"}), json!({"type": "json", "schema": {}}));
    let server = Service::new(code)
        .endpoint("predict", &input, &table(&[column("text", "string", json!({}))]))
        .endpoint("shout", &text, &text)
        .endpoint("echo", &json, &json)
        .start();
    let post = |path: &str, body: &str| {
        let (status, answer) = server.post_as(path, "application/json", body.as_bytes(), &[]);
        (status, answer.to_string())
    };
    for (path, body) in [
        ("/v1/models/test:predict", r#"{"instances": [{"a": NaN, "b": NaN}]}"#),
        ("/v1/models/test:predict", r#"{"inputs": {"a": [NaN], "b": [NaN]}}"#),
        ("/invocations", r#"{"dataframe_split": {"columns": ["a", "b"], "data": [[NaN, NaN]]}}"#),
        ("/api/v1.0/predictions", r#"{"data": {"ndarray": [[NaN, NaN, "-"]]}}"#),
    ] {
        let (status, answer) = post(path, body);
        assert!(status == 200 && answer.contains("None None -"), "{path} {body}: {answer}");
    }
    let quoted = post("/v1/models/test:predict", r#"{"instances": [["NaN", NaN, "Infinity"]]}"#);
    assert_eq!(quoted, (200, r#"{"predictions":["NaN None Infinity"]}"#.to_owned()));
    let other = r#"{"signature_name": "shout", "instances": ["NaN"]}"#;
    assert_eq!(post("/v1/models/test:predict", other), (200, r#"{"predictions":["NAN"]}"#.to_owned()));
    for (path, body, said) in [
        (
            "/v1/models/test:predict",
            r#"{"instances": [{"a": "", "b": 1, "c": NaN}]}"#,
            "/instances/0/c must not be null",
        ),
        ("/v1/models/test:predict", r#"{"instances": [{"a": Infinity, "b": 1}]}"#, "/instances/0/a must be a string"),
        ("/v1/models/test:predict", r#"{"signature_name": "shout", "instances": [NaN]}"#, "not JSON"),
        ("/v1/models/shout:predict", r#"{"instances": [NaN]}"#, "not JSON"),
        ("/v1/models/echo:predict", r#"{"instances": [{"x": NaN}]}"#, "not JSON"),
    ] {
        let (status, answer) = post(path, body);
        assert!(status == 400 && answer.contains(said), "{path} {body}: {status} {answer}");
    }
}

#[test]
fn classes_and_regressions_have_their_own_form() {
    let server = service().start();
    answers(
        &server,
        &[
            (
                "/v1/models/test:classify",
                json!({"examples": [{"a": 3}, {"a": [-1]}]}),
                json!({"results": [[["yes", 3.0]], [["no", 1.0]]]}),
            ),
            (
                "/v1/models/both:classify",
                json!({"examples": [{"a": 3}]}),
                json!({"results": [[["low", 0.25], ["high", 0.75]]]}),
            ),
            (
                "/v1/models/test/versions/1:regress",
                json!({"context": {"b": 1}, "examples": [{"a": 3}, {"a": 1, "b": 5}]}),
                json!({"results": [4.0, 6.0]}),
            ),
        ],
    );
    assert_eq!(server.post("/v1/models/tensor:classify", &json!({"examples": [{"a": 1}]})).0, 400);
}

#[test]
fn models_describe_themselves() {
    let server = service().start();
    assert_eq!(server.get("/v1/models").1["models"][0], json!("test"));
    let ok = json!({"error_code": "OK", "error_message": ""});
    let status = json!({"name": "test", "ready": true,
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": ok}]});
    assert_eq!(server.get("/v1/models/test"), (200, status));
    for path in ["/v1/models/test/versions/1", "/v1/models/test/labels/latest", "/v1/models/tensor"] {
        assert_eq!(server.get(path).0, 200, "{path}");
    }
    let (status, metadata) = server.get("/v1/models/test/metadata");
    assert_eq!((status, &metadata["model_spec"]["name"]), (200, &json!("test")));
    let signatures = &metadata["metadata"]["signature_def"]["signature_def"];
    assert_eq!(signatures["serving_default"]["inputs"]["a"]["dtype"], "DT_DOUBLE");
    assert_eq!(signatures["tensor"]["outputs"]["output"]["tensor_shape"]["dim"][1], json!({"size": "2", "name": ""}));
    for path in ["/v1/models/nobody", "/v1/models/test/versions/2", "/v1/models/test/labels/canary"] {
        let (status, answer) = server.get(path);
        assert!(status == 404 && answer["error"].is_string(), "{path}: {answer}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let server = service().start();
    for (path, body, expected, status) in [
        ("test:predict", json!({}), "the body must have `instances` or `inputs`", 400),
        ("test:predict", json!({"instances": [[1]], "inputs": {}}), "one of the two", 400),
        ("test:predict", json!({"instances": [[1, 2, 3]]}), "/instances/0 must have 2 values", 400),
        ("test:predict", json!({"instances": [{"a": 1, "z": 2}]}), "/instances/0/z is unknown", 400),
        ("test:predict", json!({"instances": [{"a": "x"}]}), "/instances/0/a must be a number", 400),
        ("test:predict", json!({"instances": 5}), "/instances must be a list of rows", 400),
        ("test:predict", json!({"instances": []}), "/instances must have at least one row", 400),
        ("test:predict", json!({"inputs": {"b": [1]}}), "/inputs/a is required", 400),
        ("test:predict", json!({"signature_name": "nobody", "instances": [[1, 2]]}), "no signature", 400),
        ("tensor:predict", json!({"instances": [[1, 2], [3]]}), "/instances/1 must have 2 elements", 400),
        ("tensor:predict", json!({"instances": [{"a": [1, 2], "b": [1, 2]}]}), "/instances/0 must be a list", 400),
        ("shout:predict", json!({"instances": [1]}), "/instances/0 must be a string", 400),
        ("reverse:predict", json!({"instances": [{"b64": "?"}]}), "/instances/0 must be base64", 400),
        ("nobody:predict", json!({}), "there is no model of this name", 404),
        ("test:destroy", json!({}), "there is nothing at this path", 404),
        ("test/versions/9:predict", json!({}), "the model does not have this version", 404),
        ("test", json!({}), "this path takes GET", 405),
    ] {
        let (got, answer) = server.post(&format!("/v1/models/{path}"), &body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(expected), "{path} {body}: {got} {answer}, not {expected}");
    }
    assert_eq!(server.get("/v1/models/test:predict").0, 405);
}

#[test]
fn each_of_the_two_can_be_on_alone() {
    let server = service().server("protocols", json!(["kserve"])).start();
    assert_eq!(server.get("/v1/models/test"), (200, json!({"name": "test", "ready": true})));
    assert_eq!(server.get("/v1/models/test/metadata").0, 404);
    let older = server.post("/v1/models/test:predict", &json!({"inputs": [[1, 2]]}));
    assert_eq!(older, (200, json!({"predictions": [3.0]})), "`inputs` is KServe's older name for `instances`");
    assert_eq!(server.post("/v1/models/test:classify", &json!({"examples": [{"a": 1}]})).0, 404);
    let server = service().server("protocols", json!(["tensorflow"])).start();
    assert!(server.get("/v1/models/test").1.get("ready").is_none());
    assert_eq!(server.post("/v1/models/test:explain", &json!({"instances": [[1, 2]]})).0, 404);
}

#[test]
fn a_model_that_is_not_ready_is_told_by_the_code_too() {
    let broken = "class Model:\n    def __init__(self, bundle): raise OSError('no weights')\n";
    let text = json!({"type": "text"});
    let launch = |protocols: &[&str]| {
        Service::new(broken).endpoint("go", &text, &text).server("protocols", json!(protocols)).launch()
    };
    let server = launch(&["kserve"]);
    assert_eq!(server.get("/v1/models/test"), (503, json!({"name": "test", "ready": false})));
    let server = launch(&["kserve", "tensorflow"]);
    let (status, answer) = server.get("/v1/models/test");
    assert_eq!((status, &answer["ready"]), (503, &json!(false)));
    assert!(answer["model_version_status"][0]["state"].is_string(), "{answer}");
    assert_eq!(server.get("/v1/models/test/versions/1").0, 200, "only TensorFlow Serving's clients ask for this");
    let server = launch(&["tensorflow"]);
    assert_eq!(server.get("/v1/models/test").0, 200, "its state is in the answer");
}

#[test]
fn short_bodies_do_not_become_long_work() {
    let server = service().start();
    let many = vec!["x"; 5000];
    let (status, answer) = server.post("/v1/models/shout:predict", &json!({ "instances": many }));
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("at most 4096 instances"), "{answer}");
    let tensor = json!({"name": "x", "shape": [5000], "datatype": "BYTES", "data": many});
    assert_eq!(server.post("/v2/models/shout/infer", &json!({"inputs": [tensor]})).0, 400);
    let context = json!({"a": "x".repeat(1 << 20)});
    let examples = vec![json!({}); 1000];
    let (status, answer) =
        server.post("/v1/models/classify:classify", &json!({"context": context, "examples": examples}));
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("less `context`"), "{answer}");
}
