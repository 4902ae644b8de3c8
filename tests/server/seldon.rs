//! Seldon Core V1.

use serde_json::{Value, json};

use crate::support::{Service, column, table};

const ECHO: &str = "class Model:\n    def __init__(self, bundle): pass\n    def go(self, x): return x\n";
const PATH: &str = "/api/v1.0/predictions";

#[test]
fn tables_are_lists_in_the_order_of_their_names() {
    let data = table(&[column("a", "number", json!({})), column("b", "string", json!({"default": "-"}))]);
    let server = Service::new(ECHO).endpoint("go", &data, &data).start();
    let expected = json!({"meta": {"puid": "p", "requestPath": {"test": "1"}},
        "data": {"names": ["a", "b"], "ndarray": [[1.0, "x"]]}});
    for names in [json!(["b", "a"]), json!([])] {
        let row = if names == json!([]) { json!([1, "x"]) } else { json!(["x", 1]) };
        let body = json!({"meta": {"puid": "p"}, "data": {"names": names, "ndarray": [row]}});
        assert_eq!(server.post(PATH, &body), (200, expected.clone()));
    }
    let flat = json!({"data": {"names": ["a"], "tensor": {"shape": [2, 1], "values": [1, 2]}}});
    let (status, answer) = server.post(PATH, &flat);
    assert_eq!((status, &answer["data"]["ndarray"]), (200, &json!([[1.0, "-"], [2.0, "-"]])));
}

#[test]
fn tensors_come_back_as_they_went() {
    let data = json!({"type": "tensor", "dtype": "float64", "shape": [null, 2]});
    let server = Service::new(ECHO).endpoint("go", &data, &data).start();
    for data in [json!({"ndarray": [[1.0, 2.0]]}), json!({"tensor": {"shape": [1, 2], "values": [1.0, 2.0]}})] {
        let (status, answer) = server.post(PATH, &json!({ "data": data }));
        assert_eq!((status, &answer["data"]), (200, &data));
    }
}

#[test]
fn texts_json_and_bytes_have_members_of_their_own() {
    for (data, message) in [
        (json!({"type": "text"}), json!({"strData": "ą"})),
        (json!({"type": "json", "schema": {}}), json!({"jsonData": {"a": [1]}})),
        (json!({"type": "binary", "media_type": "image/png"}), json!({"binData": "AQD/"})),
    ] {
        let server = Service::new(ECHO).endpoint("go", &data, &data).start();
        let (status, mut answer) = server.post(PATH, &message);
        answer.as_object_mut().unwrap().remove("meta");
        assert_eq!((status, answer), (200, message));
    }
}

#[test]
fn failures_are_a_status_and_feedback_is_counted() {
    let data = table(&[column("a", "number", json!({}))]);
    let server = Service::new(ECHO).endpoint("go", &data, &data).start();
    for (body, expected) in [
        (json!({}), "/data must have `ndarray` or `tensor`"),
        (json!({"strData": "x"}), "/data must have `ndarray` or `tensor`"),
        (json!({"data": {"ndarray": [["x"]]}}), "/data/ndarray/0/a must be a number"),
        (json!({"data": {"names": ["z"], "ndarray": [[1]]}}), "/data/ndarray/z is unknown"),
        (json!({"data": {"tensor": {"shape": [3, 1], "values": [1]}}}), "as many elements as its shape says"),
        (json!({"data": {"tensor": {"shape": [1], "values": [1]}}}), "/data/tensor/shape must be"),
    ] {
        let (status, answer) = server.post(PATH, &body);
        let found = &answer["status"];
        assert_eq!((status, &found["code"], &found["status"]), (400, &json!(400), &json!("FAILURE")), "{body}");
        assert!(found["info"].as_str().unwrap().contains(expected), "{body}: {answer}");
    }
    let feedback = json!({"request": {}, "response": {}, "reward": 1.0});
    assert_eq!(server.post("/api/v1.0/feedback", &feedback).0, 200);
    assert_eq!(server.post("/api/v1.0/feedback", &json!([])).0, 400);
    assert_eq!(server.post_as("/api/v1.0/feedback", "application/json", b"{\"request\": ", &[]).0, 400);
    let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    assert!(String::from_utf8(page).unwrap().contains("mlpack_feedback_total 1\n"));
    let status: (u16, Value) = server.get("/api/v1.0/health/status");
    assert_eq!(status.0, 200);
}
