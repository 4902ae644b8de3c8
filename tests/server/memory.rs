//! How much memory bodies take that are made to take much of it.

use serde_json::json;

use crate::grpc::{Contents, Request, framed, tensor};
use crate::support::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def count(self, rows): return rows
    def parts(self, value): return len(value)
";
/// The length of the bodies.
const LENGTH: usize = 8 << 20;
/// What the server may take at most: far more than a body and its values, and far less than trees and lists of their parts.
const MOST: u64 = 200 << 20;

fn start() -> Server {
    let rows = table(&[column("a", "number", json!({}))]);
    let schema = json!({"type": "array", "items": {"type": "object"}});
    Service::new(CODE)
        .endpoint("count", &rows, &rows)
        .endpoint("parts", &json!({"type": "json", "schema": schema}), &json!({"type": "json", "schema": {}}))
        .start()
}

/// Repeats a text until a body is long.
fn filled(start: &str, text: &str, end: &str) -> Vec<u8> {
    [start, &text.repeat(LENGTH / text.len()), end].concat().into_bytes()
}

#[test]
fn bodies_of_countless_tiny_parts_take_little_more_than_others() {
    let server = start();
    let post = |path: &str, media_type: &str, body: &[u8]| {
        let (status, answer) = server.post_as(path, media_type, body, &[]);
        let peak = server.peak_memory();
        assert!(peak < MOST, "{path} takes {} MiB", peak >> 20);
        (status, answer)
    };
    let json = "application/json";
    let feedback = filled("{\"request\":[", "{\"a\":1},", "{}]}");
    assert_eq!(post("/api/v1.0/feedback", json, &feedback).0, 200);
    assert_eq!(post("/v2/repository/index", json, &feedback).0, 413);
    let (status, answer) = post("/parts", json, &filled("[", "{\"a\":1},", "{}]"));
    assert_eq!((status, &answer["error"]["code"]), (413, &json!("body_too_large")));
    let examples = filled("{\"context\":{\"a\":1},\"examples\":[", "{\"a\":1},", "{\"a\":\"x\"}]}");
    let (status, answer) = post("/v1/models/count:regress", json, &examples);
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("/a must be a number"), "{answer}");
    assert_eq!(post("/count", "text/csv", &filled("", "a,", "a\n1")).0, 400);
    let (status, answer) = post("/count", "text/csv", &filled("a\n", ",", ""));
    assert!(status == 422 && answer.to_string().contains("must have 1 values"), "{answer}");
    let count = LENGTH / 2;
    let contents = Contents { bytes: vec![Vec::new(); count], ..Contents::default() };
    let inputs = vec![tensor("a", "BYTES", &[count as i64], contents)];
    let request = Request { model_name: "count".to_owned(), inputs, ..Request::default() };
    let (_, status, message) =
        crate::grpc::call(&server, "/inference.GRPCInferenceService/ModelInfer", framed(&request));
    assert!(status == 3 && message.contains("must be a number"), "{status} {message}");
    assert!(server.peak_memory() < MOST, "gRPC takes {} MiB", server.peak_memory() >> 20);
}
