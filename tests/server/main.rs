//! The real server with the real Python worker, on services that each test writes itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod batching;
mod connections;
mod forking;
mod forms;
mod grpc;
mod memory;
mod mlflow;
mod observe;
mod outputs;
mod seldon;
mod support;
mod tls;
mod traces;
mod v1;
mod v2;
mod versions;

use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Service, column, table};

const ECHO: &str = "
class Model:
    def __init__(self, bundle): pass
    def echo(self, rows): return rows
";

fn all_types() -> Value {
    table(&[
        column("s", "string", json!({"max_length": 3})),
        column("i", "integer", json!({"minimum": 0.0, "default": 7})),
        column("n", "number", json!({})),
        column("b", "boolean", json!({})),
        column("d", "date", json!({})),
        column("t", "datetime", json!({"nullable": true})),
        column("c", "category", json!({"enum": ["x", "y"], "nullable": true})),
    ])
}

#[test]
fn every_type_goes_there_and_back_in_both_orientations() {
    let server = Service::new(ECHO).endpoint("echo", &all_types(), &all_types()).start();
    let one =
        json!({"s": "ąčę", "i": -0, "n": 0.1, "b": true, "d": "2026-11-23", "t": "2026-11-23T16:09:31.25Z", "c": "y"});
    let two = json!({"s": "", "i": 9_007_199_254_740_993_i64, "n": 1e300, "b": false, "d": "0001-01-01", "t": null, "c": null});
    let rows = json!({"rows": [one, two]});
    assert_eq!(server.post("/echo", &rows), (200, rows));
    let columns = json!({"columns": {"s": ["a"], "i": [1], "n": [2.0], "b": [true], "d": ["1970-01-01"], "t": [null], "c": ["x"]}});
    assert_eq!(server.post("/echo", &columns), (200, columns));
    let short =
        json!({"rows": [{"s": "a", "n": 1, "b": true, "d": "1970-01-01", "t": "1970-01-01T01:00:00+01:00", "c": "x"}]});
    let (status, answer) = server.post("/echo", &short);
    assert_eq!(status, 200);
    assert_eq!(answer["rows"][0]["i"], 7);
    assert_eq!(answer["rows"][0]["t"], "1970-01-01T00:00:00Z");
}

#[test]
fn everything_wrong_with_a_table_is_said_at_once() {
    let server = Service::new(ECHO).endpoint("echo", &all_types(), &all_types()).start();
    let body = json!({"rows": [
        {"s": "long", "i": -1, "n": "1", "b": 1, "d": "2026-02-30", "t": "now", "c": "z", "q/~": 1},
        {"s": null, "i": 1.5},
    ], "more": 1});
    let (status, mut answer) =
        server.post_as("/echo", "application/json", body.to_string().as_bytes(), &[("x-request-id", "me")]);
    assert_eq!(status, 422);
    let details = answer["error"]["details"].take();
    assert_eq!(
        answer,
        json!({"error": {"code": "invalid_input", "message": "the request does not fit the contract",
        "request_id": "me", "details": null}})
    );
    let mut details: Vec<(String, String)> = details
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| (detail["pointer"].as_str().unwrap().to_owned(), detail["message"].as_str().unwrap().to_owned()))
        .collect();
    details.sort();
    let expected = [
        ("/more", "is unknown; a table has `rows` or `columns`"),
        ("/rows/0/b", "must be true or false"),
        ("/rows/0/c", "must be one of `x`, `y`"),
        ("/rows/0/d", "must be a date such as `2026-11-23`"),
        ("/rows/0/i", "must be at least 0"),
        ("/rows/0/n", "must be a number"),
        ("/rows/0/q~1~0", "is unknown; the columns are `s`, `i`, `n`, `b`, `d`, `t`, `c`"),
        ("/rows/0/s", "must have at most 3 characters"),
        ("/rows/0/t", "must be a date and time such as `2026-11-23T16:09:31Z`"),
        ("/rows/1/b", "is required"),
        ("/rows/1/c", "is required"),
        ("/rows/1/d", "is required"),
        ("/rows/1/i", "must be a whole number of 64 bits"),
        ("/rows/1/n", "is required"),
        ("/rows/1/s", "must not be null"),
        ("/rows/1/t", "is required"),
    ];
    assert_eq!(details, expected.map(|(pointer, message)| (pointer.to_owned(), message.to_owned())));
}

#[test]
fn bodies_of_the_wrong_shape_are_refused_with_the_place() {
    let server = Service::new(ECHO).endpoint("echo", &all_types(), &all_types()).start();
    let problem = |body: &str| {
        let (status, answer) = server.post_as("/echo", "application/json", body.as_bytes(), &[]);
        let detail = &answer["error"]["details"][0];
        (
            status,
            detail["pointer"].as_str().unwrap_or("-").to_owned(),
            answer["error"]["code"].as_str().unwrap().to_owned(),
        )
    };
    for (body, status, pointer) in [
        ("{\"rows\":[", 400, "-"),
        ("", 400, "-"),
        ("{} x", 400, "-"),
        ("[]", 422, ""),
        ("{}", 422, ""),
        ("{\"rows\":1}", 422, "/rows"),
        ("{\"rows\":[1]}", 422, "/rows/0"),
        ("{\"rows\":[]}", 422, "/rows"),
        ("{\"columns\":{\"s\":1}}", 422, "/columns/s"),
        ("{\"rows\":[{}],\"columns\":{}}", 422, "/rows/0/s"),
    ] {
        let (got, place, code) = problem(body);
        assert_eq!((got, place.as_str()), (status, pointer), "{body}");
        assert_eq!(code, if status == 400 { "malformed_body" } else { "invalid_input" });
    }
    assert_eq!(server.post_as("/echo", "application/xml", b"s\n1", &[]).0, 415);
    assert_eq!(server.get("/echo").0, 405);
    assert_eq!(server.get("/nothing").0, 404);
    assert_eq!(server.post_as("/echo", "application/json", &vec![b' '; (16 << 20) + 1], &[]).0, 413);
}

#[test]
fn tensors_json_text_and_bytes_go_there_and_back() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def tensor(self, x): return x
    def json(self, x): return {'got': x}
    def text(self, x): return x.upper()
    def bytes(self, x): return x[::-1]
";
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 2]});
    let (any, text, binary) = (
        json!({"type": "json", "schema": {}}),
        json!({"type": "text"}),
        json!({"type": "binary", "media_type": "image/png"}),
    );
    let server = Service::new(code)
        .endpoint("tensor", &tensor, &tensor)
        .endpoint("json", &any, &any)
        .endpoint("text", &text, &text)
        .endpoint("bytes", &binary, &binary)
        .start();
    assert_eq!(
        server.post("/tensor", &json!({"tensor": [[1.5, 2.0], [3.0, 4.0]]})),
        (200, json!({"tensor": [[1.5, 2.0], [3.0, 4.0]]}))
    );
    let (status, answer) = server.post("/tensor", &json!({"tensor": [[1, 2], [3]]}));
    assert_eq!(
        (status, &answer["error"]["details"]),
        (422, &json!([{"pointer": "/tensor/1", "message": "must have 2 elements"}]))
    );
    assert_eq!(
        server.post("/tensor", &json!({"tensor": [[1, "x"]]})).1["error"]["details"][0]["pointer"],
        "/tensor/0/1"
    );
    assert_eq!(server.post("/json", &json!([1, {"a": null}])), (200, json!({"got": [1, {"a": null}]})));
    assert_eq!(server.post("/text", &json!("žodis")), (200, json!("ŽODIS")));
    assert_eq!(server.exchange("POST", "/text", "text/plain", "ą".as_bytes(), &[]).2, "Ą".as_bytes());
    assert_eq!(server.exchange("POST", "/bytes", "image/png", &[1, 0, 255], &[]).2, [255, 0, 1]);
    assert_eq!(server.exchange("POST", "/text", "", b"", &[]).0, 415);
    assert_eq!(server.exchange("POST", "/bytes", "image/jpeg", &[1], &[]).0, 415);
}

#[test]
fn what_a_model_does_wrong_is_told_apart_and_not_told_to_clients() {
    let code = "
class InputError(ValueError): pass
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        what = list(rows['x'])[0]
        if what == 'refuse': raise InputError('no such thing')
        if what == 'raise': raise ValueError('secret')
        if what == 'rows': return {'y': [1, 2, 3]}
        if what == 'columns': return {'z': [1]}
        if what == 'type': return {'y': ['text']}
        if what == 'nan': return {'y': [float('nan')]}
        if what == 'range': return {'y': [2]}
        if what == 'print': print('x' * 3_000_000); print('done')
        return {'y': [1]}
";
    let output = table(&[column("y", "number", json!({"maximum": 1.0}))]);
    let server = Service::new(code).endpoint("predict", &table(&[column("x", "string", json!({}))]), &output).start();
    for (what, status, code) in [
        ("refuse", 422, "invalid_input"),
        ("raise", 500, "model_failed"),
        ("rows", 500, "invalid_output"),
        ("columns", 500, "invalid_output"),
        ("type", 500, "invalid_output"),
        ("nan", 500, "invalid_output"),
        ("range", 500, "invalid_output"),
    ] {
        let (got, answer) = server.post("/predict", &json!({"rows": [{"x": what}]}));
        assert_eq!((got, answer["error"]["code"].as_str().unwrap()), (status, code), "{what}");
        assert!(!answer.to_string().contains("secret"));
    }
    assert_eq!(server.post("/predict", &json!({"rows": [{"x": "print"}]})), (200, json!({"rows": [{"y": 1.0}]})));
    let log = server.stop();
    assert!(log.contains("\"message\":\"done\"") && log.contains("ValueError: secret"), "{log}");
    for line in log.lines() {
        assert!(line.len() < 70_000, "{} bytes", line.len());
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line:.300}");
    }
}

#[test]
fn a_hanging_worker_is_killed_and_replaced() {
    let code = "
import time
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if list(rows['x'])[0]: time.sleep(60)
        return {'x': rows['x']}
";
    let data = table(&[column("x", "boolean", json!({}))]);
    let server = Service::new(code).endpoint("predict", &data, &data).server("timeout_ms", json!(300)).start();
    let (status, answer) = server.post("/predict", &json!({"rows": [{"x": true}]}));
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("timeout")));
    server.until(|| server.post("/predict", &json!({"rows": [{"x": false}]})).0 == 200);
    assert!(server.stop().contains("did not answer in time"));
}

#[test]
fn a_worker_that_dies_fails_its_own_request_alone() {
    let code = "
import os
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if 13 in list(rows['x']): os._exit(3)
        return {'x': rows['x']}
";
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(code).endpoint("predict", &data, &data).batch().start();
    let answers = server.at_once(20, |server, number| server.post("/predict", &json!({"rows": [{"x": number}]})));
    for (number, (status, answer)) in answers.into_iter().enumerate() {
        match status {
            200 => assert_eq!(answer, json!({"rows": [{"x": number}]})),
            500 => assert_eq!((number, &answer["error"]["code"]), (13, &json!("worker_died"))),
            // It came while the worker was away.
            other => assert_eq!((other, &answer["error"]["code"]), (503, &json!("not_ready"))),
        }
    }
    server.until(|| server.get("/readyz").0 == 200);
}

#[test]
fn each_of_many_requests_gets_its_own_answer_and_bad_ones_fail_alone() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if 77 in list(rows['x']): raise RuntimeError('bad row')
        return {'y': [f'<{x}>' for x in rows['x']]}
";
    let (input, output) = (table(&[column("x", "integer", json!({}))]), table(&[column("y", "string", json!({}))]));
    let server = Service::new(code).endpoint("predict", &input, &output).batch().server("workers", json!(2)).start();
    let answers =
        server.at_once(200, |server, number| server.post("/predict", &json!({"rows": [{"x": number}, {"x": -1}]})));
    for (number, (status, answer)) in answers.into_iter().enumerate() {
        if number == 77 {
            assert_eq!(status, 500);
        } else {
            assert_eq!((status, answer), (200, json!({"rows": [{"y": format!("<{number}>")}, {"y": "<-1>"}]})));
        }
    }
}

#[test]
fn a_model_that_cannot_be_loaded_leaves_the_server_live_but_not_ready() {
    let data = table(&[column("x", "integer", json!({}))]);
    let code = "class Model:\n    def __init__(self, bundle): raise OSError('no weights')\n";
    let server = Service::new(code).endpoint("predict", &data, &data).launch();
    server.until(|| server.log().contains("OSError: no weights"));
    assert_eq!((server.get("/livez").0, server.get("/readyz").0), (200, 503));
    let (status, answer) = server.post("/predict", &json!({"rows": [{"x": 1}]}));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("not_ready")));
    assert!(!server.healthcheck());
}

#[test]
fn what_a_service_file_lacks_is_named() {
    let data = table(&[column("x", "integer", json!({}))]);
    for (code, said) in [
        ("import notthere\n", "name its package in `runtime.packages`, or, if it is a file of yours, in `code`"),
        ("class Other: pass\n", "loaded: the service file has no class `Model`\""),
        (
            "class Model:\n    def __init__(self, bundle): pass\n",
            "loaded: the class `Model` has no function `predict`\"",
        ),
    ] {
        let server = Service::new(code).endpoint("predict", &data, &data).launch();
        server.until(|| server.log().contains(said));
    }
}

/// A model that says when it is called, and answers once the gate is open.
const GATED: &str = "
import os, time
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        print('called')
        while not os.path.exists(os.path.join(os.path.dirname(__file__), 'gate')): time.sleep(0.01)
        return rows
";

#[test]
fn too_many_waiting_requests_are_refused() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(GATED).endpoint("predict", &data, &data).server("max_queue", json!(2)).start();
    let statuses = Mutex::new(Vec::new());
    let call = || {
        let (status, _) = server.post("/predict", &json!({"rows": [{"x": 1}]}));
        statuses.lock().unwrap().push(status);
    };
    std::thread::scope(|scope| {
        scope.spawn(call);
        server.until(|| server.log().contains("called"));
        (0..7).for_each(|_| drop(scope.spawn(call)));
        server.until(|| statuses.lock().unwrap().len() == 5);
        server.open_gate();
    });
    assert_eq!(statuses.into_inner().unwrap(), [429, 429, 429, 429, 429, 200, 200, 200]);
}

#[test]
fn sigterm_lets_running_requests_finish_and_refuses_new_ones() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(GATED).endpoint("predict", &data, &data).start();
    assert!(server.healthcheck());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| server.post("/predict", &json!({"rows": [{"x": 5}]})));
        server.until(|| server.log().contains("called"));
        server.terminate();
        server.until(|| server.get("/readyz").0 == 503);
        let (status, head, _) = server.exchange("POST", "/predict", "application/json", b"{}", &[]);
        assert_eq!(status, 503);
        assert!(head.contains("connection: close") && head.contains("retry-after: 1"), "{head}");
        server.open_gate();
        assert_eq!(running.join().unwrap(), (200, json!({"rows": [{"x": 5}]})));
    });
    assert!(server.wait().success());
}

#[test]
fn an_idle_server_stops_at_once() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(ECHO).endpoint("echo", &data, &data).server("grace_ms", json!(60_000)).start();
    let start = Instant::now();
    server.terminate();
    assert!(server.wait().success());
    assert!(start.elapsed() < Duration::from_secs(30), "it did not wait for its grace to pass");
}

#[test]
fn the_documentation_loads_from_the_server_alone() {
    let data = table(&[column("x", "integer", json!({"example": 3}))]);
    let server = Service::new(ECHO).endpoint("echo", &data, &data).start();
    let (status, _, page) = server.exchange("GET", "/docs", "", b"", &[]);
    assert_eq!(status, 200);
    let page = String::from_utf8(page).unwrap();
    let links: Vec<&str> = page.split('"').filter(|part| part.starts_with("docs/")).collect();
    assert_eq!(links.len(), 4, "{page}");
    for link in links {
        let (status, _, content) = server.exchange("GET", &format!("/{link}"), "", b"", &[]);
        assert!(status == 200 && !content.is_empty(), "{link}");
        if link.starts_with("docs/swagger-ui") {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
            assert!(text.len() > 100_000 && text.contains("swagger-ui"), "{link}");
        }
    }
    assert!(!page.contains("http"));
    let (_, document) = server.get("/openapi.json");
    assert_eq!(
        document["paths"]["/echo"]["post"]["requestBody"]["content"]["application/json"]["example"],
        json!({"rows": [{"x": 3}]})
    );
    assert_eq!(server.get("/").1["endpoints"], json!(["/echo"]));
}

#[test]
fn browsers_get_a_page_about_the_model() {
    let data = table(&[column("x", "integer", json!({"example": 3, "description": "<img src=x>"}))]);
    let server = Service::new(ECHO).endpoint("echo", &data, &data).start();
    let (status, head, page) = server.exchange("GET", "/", "", b"", &[("accept", "text/html,*/*;q=0.8")]);
    let page = String::from_utf8(page).unwrap();
    assert_eq!(status, 200);
    for header in ["content-type: text/html", "vary: accept", "content-security-policy: default-src 'none'"] {
        assert!(head.contains(header), "{head}");
    }
    for part in ["<h1>test</h1>", "POST /echo", "{&quot;rows&quot;: [{&quot;x&quot;: 3}]}", "&lt;img src=x&gt;"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let links: Vec<&str> = page.split('"').filter(|part| part.starts_with("docs/")).collect();
    assert_eq!(links, ["docs/about.css", "docs/about.js"]);
    for link in links {
        assert_eq!(server.exchange("GET", &format!("/{link}"), "", b"", &[]).0, 200, "{link}");
    }
}
