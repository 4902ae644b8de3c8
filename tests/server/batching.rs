//! How waiting requests are merged, refused, remembered and answered for.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Service, column, table};

/// A model that takes a moment for `0`, says when it is called, and answers `1` once the gate is open.
const GATED: &str = "
import os, time
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        print('called with', list(rows['x']))
        time.sleep(0.2)
        while 1 in list(rows['x']) and not os.path.exists(os.path.join(os.path.dirname(__file__), 'gate')): time.sleep(0.01)
        return {'x': rows['x']}
";

fn numbers() -> Value {
    table(&[column("x", "integer", json!({}))])
}

fn row(x: i64) -> Value {
    json!({"rows": [{"x": x}]})
}

#[test]
fn who_would_be_answered_too_late_is_refused_without_a_call() {
    let server =
        Service::new(GATED).endpoint("predict", &numbers(), &numbers()).set("predict", "latency_ms", json!(2000));
    let server = server.start();
    assert_eq!(server.post("/predict", &row(0)).0, 200, "now it is known what a call takes");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/predict", &row(1)));
        server.until(|| server.log().contains("called with [1]"));
        let late =
            scope.spawn(|| server.exchange("POST", "/predict", "application/json", row(2).to_string().as_bytes(), &[]));
        // Whether it waits at all depends on the moment that it comes; that it is too late does not.
        sleep(Duration::from_millis(2100));
        server.open_gate();
        assert_eq!(running.join().unwrap().0, 200, "what runs is not given up");
        let (status, head, body) = late.join().unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["code"]), (429, &json!("overloaded")));
        assert!(head.contains("retry-after: 1"), "{head}");
    });
    // The worker may still be seen at work for a moment.
    server.until(|| server.post("/predict", &row(3)).0 == 200);
    assert!(!server.stop().contains("called with [2]"));
}

#[test]
fn a_fallback_stands_in_when_the_objective_passes_or_no_worker_is_there() {
    let output = table(&[column("y", "string", json!({}))]);
    let server = Service::new(&GATED.replace("{'x': rows['x']}", "{'y': ['model'] * len(rows['x'])}"))
        .endpoint("predict", &numbers(), &output)
        .set("predict", "latency_ms", json!(1))
        .set("predict", "fallback", json!({"y": "unknown"}))
        .start();
    let rows = json!({"rows": [{"x": 1}, {"x": 1}]});
    let body = rows.to_string();
    let (status, head, answer) = server.exchange("POST", "/predict", "application/json", body.as_bytes(), &[]);
    assert_eq!(status, 200);
    assert!(head.contains("x-mlpack-fallback: timeout"), "{head}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer, json!({"rows": [{"y": "unknown"}, {"y": "unknown"}], "fallback": "timeout"}));
    let (_, head, answer) =
        server.exchange("POST", "/invocations", "application/json", br#"{"inputs":[{"x":1}]}"#, &[]);
    assert!(head.contains("x-mlpack-fallback: "), "{head}");
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({"predictions": [{"y": "unknown"}]}));
    server.open_gate();
    let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("mlpack_fallbacks_total{endpoint=\"predict\",version=\"1\",code=\"timeout\"}"), "{page}");
    let (_, document) = server.get("/openapi.json");
    let answer = &document["paths"]["/predict"]["post"]["responses"]["200"];
    assert!(answer["headers"]["x-mlpack-fallback"].is_object());
    assert!(answer["content"]["application/json"]["schema"]["properties"]["fallback"].is_object());
    assert!(server.stop().contains("\"fallback\":\"timeout\""));
}

#[test]
fn what_the_model_did_wrong_has_no_fallback() {
    let code =
        "class Model:\n    def __init__(self, bundle): pass\n    def predict(self, rows): raise ValueError('no')\n";
    let server = Service::new(code)
        .endpoint("predict", &numbers(), &numbers())
        .set("predict", "fallback", json!({"x": 0}))
        .start();
    assert_eq!(server.post("/predict", &row(1)).0, 500);
    assert_eq!(server.post("/predict", &json!({"rows": []})).0, 422);
}

#[test]
fn a_cache_answers_equal_inputs_in_every_protocol_and_forgets_what_does_not_fit() {
    let code = "
class Model:
    def __init__(self, bundle): self.calls = 0
    def predict(self, rows):
        self.calls += 1
        return {'x': [self.calls] * len(rows['x'])}
";
    let server = Service::new(code)
        .endpoint("predict", &numbers(), &numbers())
        .set("predict", "cache_bytes", json!(1200))
        .start();
    let ask = |path: &str, body: Value| {
        let (_, head, body) = server.exchange("POST", path, "application/json", body.to_string().as_bytes(), &[]);
        let status = head.lines().find_map(|line| line.strip_prefix("cache-status: mlpack; ")).unwrap().to_owned();
        (status, String::from_utf8(body).unwrap())
    };
    let answer = |call: u32| format!("{{\"rows\":[{{\"x\":{call}}}]}}");
    assert_eq!(ask("/predict", row(1)), ("fwd=miss".to_owned(), answer(1)));
    assert_eq!(ask("/predict", row(1)), ("hit".to_owned(), answer(1)));
    assert_eq!(ask("/predict", row(2)), ("fwd=miss".to_owned(), answer(2)));
    let same = ask("/invocations", json!({"dataframe_records": [{"x": 1}]}));
    assert_eq!(same, ("hit".to_owned(), "{\"predictions\":[{\"x\":1}]}".to_owned()));
    // Two fit; the one that was not asked for the longest goes.
    assert_eq!(ask("/predict", row(3)).0, "fwd=miss");
    assert_eq!(ask("/predict", row(1)).0, "hit");
    assert_eq!(ask("/predict", row(2)), ("fwd=miss".to_owned(), answer(4)));
    let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    let page = String::from_utf8(page).unwrap();
    for line in [
        "mlpack_cache_requests_total{endpoint=\"predict\",version=\"1\",result=\"hit\"} 3",
        "mlpack_cache_requests_total{endpoint=\"predict\",version=\"1\",result=\"miss\"} 4",
        "mlpack_cache_bytes{endpoint=\"predict\",version=\"1\"} 1040",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
}

#[test]
fn a_call_goes_through_the_services_functions_and_each_is_timed() {
    let code = "
class InputError(ValueError): pass
class Model:
    def __init__(self, bundle): pass
    def clean(self, rows):
        if 13 in list(rows['x']): raise InputError('not 13')
        return [int(x) * 10 for x in rows['x']]
    def predict(self, numbers): return [number + 1 for number in numbers]
    def double(self, numbers): return {'x': [2 * number for number in numbers]}
    def plain(self, rows): return rows
";
    let server = Service::new(code)
        .endpoint("predict", &numbers(), &numbers())
        .endpoint("plain", &numbers(), &numbers())
        .batch()
        .set("predict", "preprocess", json!("clean"))
        .set("predict", "postprocess", json!("double"))
        .start();
    assert_eq!(server.post("/predict", &row(4)), (200, json!({"rows": [{"x": 82}]})));
    assert_eq!(server.post("/plain", &row(4)), (200, json!({"rows": [{"x": 4}]})));
    let (status, answer) = server.post("/predict", &row(13));
    assert_eq!((status, &answer["error"]["message"]), (422, &json!("not 13")));
    let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    let page = String::from_utf8(page).unwrap();
    for stage in ["preprocess", "model", "postprocess"] {
        let line =
            format!("mlpack_stage_duration_seconds_count{{endpoint=\"predict\",version=\"1\",stage=\"{stage}\"}} 1");
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("mlpack_stage_duration_seconds_count{endpoint=\"plain\""));
    let log = server.stop();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls: Vec<Value> =
        lines.filter(|line| line["message"] == "request" && line["status"] == 200 && line["rows"] == 1).collect();
    assert!(calls[0]["stages_ms"]["preprocess"].is_number() && calls[0]["queue_ms"].is_number(), "{}", calls[0]);
    assert!(calls[1]["stages_ms"].is_null() && calls[1]["call_ms"].is_number(), "{}", calls[1]);
}

#[test]
fn an_endpoints_own_row_limit_wins_over_the_servers() {
    let server = Service::new(GATED)
        .endpoint("predict", &numbers(), &numbers())
        .batch()
        .set("predict", "max_batch_rows", json!(2))
        .start();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.post("/predict", &row(1)));
        server.until(|| server.log().contains("called with [1]"));
        let rest: Vec<_> = (0..5).map(|_| scope.spawn(|| server.post("/predict", &row(1)))).collect();
        server.until(|| {
            let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
            String::from_utf8(page).unwrap().contains("mlpack_queue_requests{version=\"1\"} 5")
        });
        server.open_gate();
        assert_eq!(first.join().unwrap().0, 200);
        assert!(rest.into_iter().all(|call| call.join().unwrap().0 == 200));
    });
    let log = server.stop();
    assert_eq!(log.matches("called with [1, 1]").count(), 2, "{log}");
    assert!(!log.contains("called with [1, 1, 1"), "{log}");
}
