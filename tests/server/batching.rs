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
        Service::new(GATED).endpoint("predict", &numbers(), &numbers()).set("predict", "latency_ms", json!(1000));
    let server = server.start();
    assert_eq!(server.post("/predict", &row(0)).0, 200, "now it is known what a call takes");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/predict", &row(1)));
        server.until(|| server.log().contains("called with [1]"));
        let late =
            scope.spawn(|| server.exchange("POST", "/predict", "application/json", row(2).to_string().as_bytes(), &[]));
        // Whether it waits at all depends on the moment that it comes; that it is too late does not.
        sleep(Duration::from_millis(1100));
        server.open_gate();
        assert_eq!(running.join().unwrap().0, 200, "what runs is not given up");
        let (status, head, body) = late.join().unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["code"]), (429, &json!("overloaded")));
        assert!(head.contains("retry-after: 1"), "{head}");
    });
    assert_eq!(server.post("/predict", &row(3)).0, 200);
    assert!(!server.stop().contains("called with [2]"));
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
            String::from_utf8(page).unwrap().contains("mlpack_queue_requests 5")
        });
        server.open_gate();
        assert_eq!(first.join().unwrap().0, 200);
        assert!(rest.into_iter().all(|call| call.join().unwrap().0 == 200));
    });
    let log = server.stop();
    assert_eq!(log.matches("called with [1, 1]").count(), 2, "{log}");
    assert!(!log.contains("called with [1, 1, 1"), "{log}");
}
