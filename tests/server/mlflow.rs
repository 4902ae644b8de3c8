//! MLflow's scoring server, SageMaker's and Vertex AI's container contracts.

use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        return {'text': [f'{a} {b} {c} {d}' for a, b, c, d in zip(rows['a'], rows['b'], rows['c'], rows['d'])]}
";

fn service() -> Service {
    let input = table(&[
        column("a", "number", json!({})),
        column("b", "integer", json!({"nullable": true})),
        column("c", "boolean", json!({"default": true})),
        column("d", "string", json!({"default": "-"})),
    ]);
    Service::new(CODE).endpoint("predict", &input, &table(&[column("text", "string", json!({}))]))
}

fn texts(texts: &[&str]) -> Value {
    let rows: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    json!({ "predictions": rows })
}

#[test]
fn every_form_of_a_table_in_json_is_taken() {
    let server = service().start();
    for (body, expected) in [
        (
            json!({"dataframe_split": {"columns": ["b", "a", "other"], "index": [0, 1], "data": [[1, 0.5, 9], [null, 2, 9]]}}),
            ["0.5 1 True -", "2.0 None True -"].as_slice(),
        ),
        (json!({"dataframe_split": {"data": [[1, 2, false, "x"]]}}), &["1.0 2 False x"]),
        (json!({"dataframe_split": {"columns": [0, 1, 2, 3], "data": [[1, 2, false, "x"]]}}), &["1.0 2 False x"]),
        (json!({"dataframe_records": [{"a": 1, "b": 2, "other": 3}], "params": {"t": 1}}), &["1.0 2 True -"]),
        (json!({"instances": [{"a": 1, "b": 2}]}), &["1.0 2 True -"]),
        (json!({"inputs": {"a": [1], "b": [2], "d": ["y"]}}), &["1.0 2 True y"]),
        (json!([[1, 2, true, "z"]]), &["1.0 2 True z"]),
    ] {
        assert_eq!(server.post("/invocations", &body), (200, texts(expected)), "{body}");
    }
}

#[test]
fn csv_is_a_table_with_a_header() {
    let server = service().start();
    let post = |body: &str| server.post_as("/invocations", "text/csv; charset=utf-8", body.as_bytes(), &[]);
    let (status, answer) = post("d,a,b,c,other\r\n\"x, \"\"y\"\"\",1e3,5,False,1\r\n,2,,true,\r\n");
    assert_eq!((status, answer), (200, texts(&["1000.0 5 False x, \"y\"", "2.0 None True "])));
    for (body, expected) in [
        ("", "the body has no header"),
        ("a,b\n", "must have at least one row"),
        ("a,b\n1,2,3\n", "/0 must have 2 values"),
        ("a,b\nx,2\n", "/0/a must be a number"),
        ("b\n1\n", "/0/a is required"),
        ("a,b\n\"1,2\n", "a quote is not closed"),
    ] {
        let (status, answer) = post(body);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(expected), "{body:?}: {status} {answer}, not {expected}");
    }
}

#[test]
fn failures_have_mlflows_form() {
    let server = service().start();
    let (status, answer) = server.post("/invocations", &json!({"dataframe_records": [{"a": "x", "b": 1}]}));
    assert_eq!((status, &answer["error_code"]), (400, &json!("BAD_REQUEST")));
    assert!(answer["message"].as_str().unwrap().contains("/dataframe_records/0/a must be a number"), "{answer}");
    for body in
        [json!({}), json!({"instances": [], "inputs": {}}), json!(5), json!({"dataframe_split": {"columns": ["a"]}})]
    {
        assert_eq!(server.post("/invocations", &body).0, 400, "{body}");
    }
    for columns in [json!(["b", 1]), json!([1, 0]), json!([1, 2]), json!("ab"), json!([null, null])] {
        let split = json!({"dataframe_split": {"columns": columns, "data": [[1, 2]]}});
        let (status, answer) = server.post("/invocations", &split);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains("/dataframe_split/columns must be names"), "{split}: {answer}");
    }
    for media_type in ["text/plain", "application/json; charset=latin-1", "application/x-npy"] {
        let (status, answer) = server.post_as("/invocations", media_type, b"{}", &[]);
        assert_eq!((status, &answer["error_code"]), (415, &json!("BAD_REQUEST")), "{media_type}");
    }
}

#[test]
fn json_text_and_bytes_come_as_they_are() {
    let code = "class Model:\n    def __init__(self, bundle): pass\n    def go(self, x): return x\n";
    let start = |data: &Value| Service::new(code).endpoint("go", data, data).start();
    let server = start(&json!({"type": "json", "schema": {}}));
    let chat = json!({"messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(server.post("/invocations", &chat).1, json!({"predictions": chat}));
    assert_eq!(server.post("/invocations", &json!({"inputs": chat})).1, json!({"predictions": chat}));
    assert_eq!(server.post("/invocations", &json!([1])).1, json!({"predictions": [1]}));
    let server = start(&json!({"type": "text"}));
    assert_eq!(server.post_as("/invocations", "text/plain", "ą".as_bytes(), &[]).1, json!({"predictions": "ą"}));
    assert_eq!(server.post("/invocations", &json!({"inputs": "a"})).1, json!({"predictions": "a"}));
    assert_eq!(server.post("/invocations", &json!({"instances": ["a", "b"]})).1, json!({"predictions": ["a", "b"]}));
    let server = start(&json!({"type": "binary", "media_type": "image/png"}));
    let (_, answer) = server.post_as("/invocations", "image/png", &[1, 0, 255], &[]);
    assert_eq!(answer, json!({"predictions": {"b64": "AQD/"}}));
}

#[test]
fn probes_say_whether_the_model_can_be_called() {
    let server = service().start();
    for path in ["/ping", "/health"] {
        let (status, _, body) = server.exchange("GET", path, "", b"", &[]);
        assert_eq!((status, body.as_slice()), (200, b"\n".as_slice()), "{path}");
    }
    let (status, _, version) = server.exchange("GET", "/version", "", b"", &[]);
    assert_eq!((status, version.as_slice()), (200, env!("CARGO_PKG_VERSION").as_bytes()));
    let broken = "class Model:\n    def __init__(self, bundle): raise OSError('no weights')\n";
    let text = json!({"type": "text"});
    let server = Service::new(broken).endpoint("go", &text, &text).launch();
    assert_eq!((server.get("/ping").0, server.get("/v2/health/ready").0, server.get("/livez").0), (503, 503, 200));
}

#[test]
fn vertex_routes_come_first() {
    let server: Server =
        service().env("AIP_PREDICT_ROUTE", "/predict").env("AIP_HEALTH_ROUTE", "/v1/health:ok").start();
    let body = json!({"instances": [{"a": 1, "b": 2}], "parameters": {"k": 1}});
    assert_eq!(server.post("/predict", &body), (200, json!({"predictions": ["1.0 2 True -"]})));
    assert_eq!(server.get("/v1/health:ok").0, 200);
    let (status, answer) = server.post("/predict", &json!({"rows": []}));
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("missing field `instances`"), "{answer}");
    assert_eq!(server.get("/v2/health/ready").0, 200, "other routes are still there");
    assert!(server.get("/metrics").0 == 200 && server.get("/nothing").0 == 404);
}
