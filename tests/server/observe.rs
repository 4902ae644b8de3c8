//! What operators see: metrics and the access log.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Service, column, table};

const CODE: &str = "
import os
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if 13 in list(rows['x']): os._exit(3)
        return {'x': rows['x']}
";

#[test]
fn metrics_count_what_happened() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE).endpoint("predict", &data, &data).start();
    let rows = |x: i64| json!({"rows": [{"x": x}, {"x": 1}]});
    assert_eq!(server.post("/predict", &rows(1)).0, 200);
    assert_eq!(server.post("/predict", &json!({"rows": []})).0, 422);
    let tensor = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [5]}]});
    assert_eq!(server.post("/v2/models/test/infer", &tensor).0, 200);
    assert_eq!(server.get("/nothing").0, 404);
    assert_eq!(server.post("/predict", &rows(13)).0, 500);
    server.until(|| server.get("/readyz").0 == 200);
    let (status, head, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    let page = String::from_utf8(page).unwrap();
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "mlpack_model_info{name=\"test\",version=\"1\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1\",protocol=\"own\",code=\"ok\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1\",protocol=\"own\",code=\"invalid_input\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1\",protocol=\"own\",code=\"worker_died\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1\",protocol=\"v2\",code=\"ok\"} 1",
        "mlpack_requests_total{endpoint=\"\",version=\"\",protocol=\"own\",code=\"not_found\"} 1",
        "mlpack_request_duration_seconds_count{endpoint=\"predict\",version=\"1\"} 4",
        "mlpack_queue_duration_seconds_count{endpoint=\"predict\",version=\"1\"} 3",
        "mlpack_model_duration_seconds_count{endpoint=\"predict\",version=\"1\"} 2",
        "mlpack_batch_rows_bucket{endpoint=\"predict\",version=\"1\",le=\"1\"} 1",
        "mlpack_batch_rows_sum{endpoint=\"predict\",version=\"1\"} 3",
        "mlpack_requests_in_flight{endpoint=\"predict\",version=\"1\"} 0",
        "mlpack_requests_in_flight{endpoint=\"\",version=\"\"} 0",
        "mlpack_queue_requests{version=\"1\"} 0",
        "mlpack_workers_ready{version=\"1\"} 1",
        "mlpack_worker_restarts_total{version=\"1\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    for name in [
        "process_resident_memory_bytes",
        "mlpack_workers_resident_memory_bytes",
        "mlpack_worker_resident_memory_bytes{version=\"1\",worker=\"1\"}",
    ] {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        assert!(value.parse::<f64>().unwrap() > 100_000.0, "{name} {value}");
    }
}

#[test]
fn every_call_is_one_line_of_the_log_with_its_request_and_trace() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE).endpoint("predict", &data, &data).start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = json!({"rows": [{"x": 1}]}).to_string();
    let headers = [("x-request-id", "mine"), ("traceparent", trace)];
    let (_, head, _) = server.exchange("POST", "/predict?secret=1", "application/json", body.as_bytes(), &headers);
    assert!(head.contains("x-request-id: mine"));
    let (_, head, answer) = server.exchange("POST", "/predict", "application/json", b"[]", &[]);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let id = answer["error"]["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("x-request-id: {id}")));
    let log = server.stop();
    assert!(!log.contains("secret"));
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line["message"] == "request").collect();
    let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
    for (member, value) in [
        ("method", json!("POST")),
        ("path", json!("/predict")),
        ("status", json!(200)),
        ("protocol", json!("own")),
        ("endpoint", json!("predict")),
        ("rows", json!(1)),
        ("request_id", json!("mine")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("parent_id", json!("00f067aa0ba902b7")),
    ] {
        assert_eq!(first[member], value, "{member}");
    }
    assert_eq!(
        (&second["status"], &second["code"], &second["request_id"]),
        (&json!(422), &json!("invalid_input"), &json!(id))
    );
}

#[test]
fn a_request_whose_client_leaves_is_counted_and_logged() {
    let code = "
import os, time
folder = os.path.dirname(__file__)
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        open(os.path.join(folder, 'called'), 'w').close()
        while not os.path.exists(os.path.join(folder, 'gate')): time.sleep(0.01)
        return {'x': rows['x']}
";
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(code).endpoint("predict", &data, &data).start();
    let body = json!({"rows": [{"x": 1}]}).to_string();
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-id: left\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    std::io::Write::write_all(&mut connection, request.as_bytes()).unwrap();
    server.until(|| server.path("called").exists());
    drop(connection);
    let metrics = || String::from_utf8(server.exchange("GET", "/metrics", "", b"", &[]).2).unwrap();
    let counted = "mlpack_requests_total{endpoint=\"predict\",version=\"1\",protocol=\"own\",code=\"client_gone\"} 1\n";
    server.until(|| metrics().contains(counted));
    assert!(metrics().contains("mlpack_requests_in_flight{endpoint=\"predict\",version=\"1\"} 0\n"));
    assert!(!server.get("/openapi.json").1.to_string().contains("499"), "nobody is answered so");
    server.open_gate();
    let log = server.stop();
    let line = log.lines().find(|line| line.contains("\"left\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["status"], &line["code"]), (&json!(499), &json!("client_gone")));
}

#[test]
fn protocols_that_are_turned_off_have_no_routes() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE).endpoint("predict", &data, &data).server("protocols", json!(["seldon"])).start();
    assert_eq!(server.get("/v2/health/live").0, 404);
    assert_eq!(server.get("/").1["protocols"], json!(["seldon"]));
    assert_eq!(server.post("/predict", &json!({"rows": [{"x": 1}]})).0, 200);
}

#[test]
fn a_connection_with_an_unread_body_is_said_to_close() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE).endpoint("predict", &data, &data).start();
    let assert_closes = |path: &str, media_type: &str| {
        let length = 17_u32 << 20;
        let mut connection = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        std::io::Write::write_all(&mut connection, head.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut connection, &mut answer).unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
    };
    assert_closes("/nothing", "application/json");
    assert_closes("/predict", "text/csv");
    assert_closes("/predict", "application/json");
}

#[test]
fn an_answer_that_takes_long_to_check_holds_up_no_small_request() {
    let value = json!({"type": "json", "schema": {"type": "array", "items": {"type": "number"}}});
    let code = "class Model:\n    def __init__(self, bundle): pass\n    def echo(self, value): return value\n";
    let server = Service::new(code).endpoint("echo", &value, &value).start();
    let body = format!("[{}0.5]", "0.5,".repeat(1 << 20));
    let (took, pauses) = std::thread::scope(|scope| {
        let start = Instant::now();
        let large = scope
            .spawn(|| assert_eq!(server.exchange("POST", "/echo", "application/json", body.as_bytes(), &[]).0, 200));
        let mut pauses = Vec::new();
        while !large.is_finished() {
            let before = Instant::now();
            assert_eq!(server.get("/livez").0, 200);
            pauses.push(before.elapsed());
        }
        (start.elapsed(), pauses)
    });
    let longest = pauses.into_iter().max().unwrap();
    assert!(longest < took / 4, "{longest:?} of {took:?}");
}
