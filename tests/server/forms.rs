//! The forms that the server's own routes take and give: JSON by its schema, CSV, files in forms, pictures; and what happens to
//! answers that do not fit.

use serde_json::{Value, json};

use crate::support::{Service, column, table};

const CODE: &str = "
import struct, zlib
def png():
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    head = chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0))
    return bytes([137]) + b'PNG\\r\\n\\x1a\\n' + head + chunk(b'IDAT', zlib.compress(bytes([0, 200]))) + chunk(b'IEND', b'')
class Model:
    def __init__(self, bundle): pass
    def ask(self, value): return value.get('answer', {'text': 'ž'})
    def lenient(self, rows): return {'name': rows['name'], 'x': rows['x']}
    def predict(self, rows): return {'name': rows['name'], 'x': [x * 2 for x in rows['x']]}
    def size(self, picture): return [len(picture)] if isinstance(picture, bytes) else list(picture.size)
    def draw(self, text): return png() if text == 'good' else b'bad'
    def reverse(self, data): return data[::-1]
";

fn predict_input(extra: &str) -> Value {
    let columns = [
        column("name", "string", json!({"pattern": "^[a-zž ,\"]+$", "nullable": true})),
        column("x", "number", json!({"maximum": 100.0})),
    ];
    let mut input = table(&columns);
    input["extra"] = json!(extra);
    input
}

fn service() -> Service {
    let output =
        table(&[column("name", "string", json!({"nullable": true})), column("x", "number", json!({"maximum": 10.0}))]);
    let asked = json!({"type": "json", "schema": {
        "$defs": {"count": {"type": "integer", "minimum": 0}}, "type": "object", "additionalProperties": false,
        "properties": {"count": {"$ref": "#/$defs/count"}, "day": {"format": "date"}, "answer": {}},
    }});
    let answered = json!({"type": "json", "schema": {"type": "object", "required": ["text"]}});
    let image = json!({"type": "image", "media_types": ["image/png", "image/jpeg"]});
    let binary = json!({"type": "binary", "media_type": "application/pdf"});
    Service::new(CODE)
        .endpoint("ask", &asked, &answered)
        .endpoint("predict", &predict_input("forbid"), &output)
        .endpoint("lenient", &predict_input("ignore"), &output)
        .endpoint("size", &image, &json!({"type": "json", "schema": {}}))
        .endpoint("draw", &json!({"type": "text"}), &image)
        .endpoint("reverse", &binary, &binary)
}

fn problems(answer: &Value) -> Vec<String> {
    let details = answer["error"]["details"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let text =
        |detail: &Value| format!("{} {}", detail["pointer"].as_str().unwrap(), detail["message"].as_str().unwrap());
    details.iter().map(text).collect()
}

#[test]
fn json_is_held_against_its_schema_in_every_protocol() {
    let server = service().start();
    assert_eq!(server.post("/ask", &json!({"count": 1, "day": "2026-11-27"})), (200, json!({"text": "ž"})));
    let wrong = json!({"count": -5, "day": "SECRET", "more": 1});
    let (status, answer) = server.post("/ask", &wrong);
    let mut found = problems(&answer);
    found.sort();
    let expected = [" must not have `more`", "/count must be at least 0", "/day must have the format `date`"];
    assert_eq!((status, found.as_slice()), (422, expected.map(str::to_owned).as_slice()));
    assert!(!answer.to_string().contains("SECRET"));
    for (path, body, place) in [
        ("/v1/models/ask:predict", json!({"instances": [{}, wrong]}), "/instances/1/count"),
        (
            "/v2/models/ask/infer",
            json!({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [wrong.to_string()]}]}),
            "/inputs/0/data/count",
        ),
    ] {
        let (status, answer) = server.post(path, &body);
        assert!(status == 400 && answer.to_string().contains(place), "{path}: {status} {answer}");
    }
}

#[test]
fn answers_that_do_not_fit_fail_unless_the_endpoint_says_otherwise() {
    let body = json!({"answer": {"other": 1}});
    let server = service().start();
    let (status, answer) = server.post("/ask", &body);
    assert_eq!((status, &answer["error"]["code"]), (500, &json!("invalid_output")));
    assert_eq!(server.post("/predict", &json!({"rows": [{"name": "a", "x": 6}]})).0, 500);
    assert!(server.stop().contains("must have `text`"));
    let server = service().validate_output("ask", "warn").validate_output("predict", "off").start();
    assert_eq!(server.post("/ask", &body), (200, json!({"other": 1})));
    assert_eq!(server.post("/predict", &json!({"rows": [{"name": "a", "x": 6}]})).1["rows"][0]["x"], json!(12.0));
    assert_eq!(server.post("/predict", &json!({"rows": [{"name": null, "x": -1e308}]})).0, 500, "infinity has no form");
    let log = server.stop();
    assert!(log.contains("the answer does not fit its contract") && log.contains("must have `text`"), "{log}");
}

#[test]
fn other_columns_are_refused_or_ignored() {
    let server = service().start();
    let body = json!({"rows": [{"name": "a", "x": 1, "more": [1, {"a": 2}]}]});
    assert_eq!(problems(&server.post("/predict", &body).1), ["/rows/0/more is unknown; the columns are `name`, `x`"]);
    assert_eq!(server.post("/lenient", &body), (200, json!({"rows": [{"name": "a", "x": 1.0}]})));
    let columns = json!({"columns": {"name": ["a"], "more": 7, "x": [1]}});
    assert_eq!(server.post("/lenient", &columns).1["columns"]["x"], json!([1.0]));
    let tensor = |name: &str| json!({"name": name, "datatype": "FP64", "shape": [1], "data": [1]});
    let inputs = json!({"inputs": [tensor("more"), tensor("x"), {"name": "name", "datatype": "BYTES", "shape": [1], "data": ["a"]}]});
    assert_eq!(server.post("/v2/models/lenient/infer", &inputs).0, 200);
}

#[test]
fn texts_must_match_their_pattern_and_problems_are_counted() {
    let server = service().start();
    let (_, answer) = server.post("/predict", &json!({"rows": [{"name": "A", "x": 1}]}));
    assert_eq!(problems(&answer), ["/rows/0/name must match `^[a-zž ,\"]+$`"]);
    let many = json!({"rows": vec![json!({"name": "a", "x": "no"}); 300]});
    assert_eq!(problems(&server.post("/predict", &many).1).len(), 100);
}

#[test]
fn tables_may_be_csv_or_bare_lists() {
    let server = service().start();
    let csv = "x,name\r\n1,\"a, \"\"b\"\"\"\r\n2.5,\r\n";
    let (status, answer) = server.post_as("/predict", "text/csv; charset=utf-8", csv.as_bytes(), &[]);
    let rows = json!([{"name": "a, \"b\"", "x": 2.0}, {"name": null, "x": 5.0}]);
    assert_eq!((status, answer), (200, json!({ "rows": rows })));
    assert_eq!(server.post("/predict", &json!([{"name": "a, \"b\"", "x": 1}, {"name": null, "x": 2.5}])), (200, rows));
    assert_eq!(problems(&server.post("/predict", &json!([{"name": "a"}])).1), ["/0/x is required"]);
    let (status, head, body) =
        server.exchange("POST", "/predict", "text/csv", csv.as_bytes(), &[("accept", "text/csv")]);
    assert_eq!(
        (status, String::from_utf8(body).unwrap().as_str()),
        (200, "name,x\r\n\"a, \"\"b\"\"\",2.0\r\n,5.0\r\n")
    );
    assert!(head.contains("content-type: text/csv"), "{head}");
}

fn form(media_type: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Type: {media_type}\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

#[test]
fn a_file_may_come_in_a_form() {
    let server = service().start();
    let send = |path: &str, media_type: &str, content: &[u8]| {
        let (status, _, body) =
            server.exchange("POST", path, "multipart/form-data; boundary=b", &form(media_type, content), &[]);
        (status, body)
    };
    assert_eq!(send("/reverse", "application/pdf", b"a\r\n--c\0"), (200, b"\0c--\n\ra".to_vec()));
    assert_eq!(send("/reverse", "application/octet-stream", b"ab"), (200, b"ba".to_vec()));
    assert_eq!(send("/predict", "text/csv", b"name,x\na,1\n").0, 200);
    assert_eq!(send("/predict", "application/json", b"{\"rows\":[{\"name\":\"a\",\"x\":1}]}").0, 200);
    assert_eq!(send("/reverse", "text/plain", b"ab").0, 415);
    let cut = &form("application/pdf", b"ab")[..90];
    assert_eq!(server.exchange("POST", "/reverse", "multipart/form-data; boundary=b", cut, &[]).0, 400);
}

#[test]
fn pictures_are_pictures() {
    let server = service().start();
    let (status, head, png) = server.exchange("POST", "/draw", "text/plain", b"good", &[]);
    assert!(status == 200 && head.contains("content-type: image/png"), "{head}");
    assert_eq!(server.exchange("POST", "/draw", "text/plain", b"other", &[]).0, 500, "an answer must be one as well");
    let (status, answer) = server.post_as("/size", "image/png", &png, &[]);
    assert!(status == 200 && (answer == json!([png.len()]) || answer == json!([1, 1])), "{answer}");
    assert_eq!(
        server.exchange("POST", "/size", "multipart/form-data; boundary=b", &form("image/png", &png), &[]).0,
        200
    );
    let (status, answer) = server.post_as("/size", "image/jpeg", b"GIF89a", &[]);
    assert_eq!(
        (status, problems(&answer)),
        (422, vec![" must be a picture of type image/png or image/jpeg".to_owned()])
    );
    let (status, answer) = server.post("/v1/models/size:predict", &json!({"instances": [{"b64": "R0lG"}]}));
    assert!(status == 400 && answer.to_string().contains("/instances/0 must be a picture"), "{answer}");
}

#[test]
fn rankings_are_in_order() {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def rank(self, rows):
        best = sorted(zip(rows['id'], rows['x']), key=lambda item: -item[1])
        return [{'id': name, 'score': score} for name, score in best]
    def wrong(self, rows): return {'id': rows['id'], 'score': rows['x']}
";
    let columns = |number: &str| table(&[column("id", "string", json!({})), column(number, "number", json!({}))]);
    let service = Service::new(code)
        .endpoint("rank", &columns("x"), &columns("score"))
        .endpoint("wrong", &columns("x"), &columns("score"))
        .task("rank", "ranking")
        .task("wrong", "ranking");
    let server = service.start();
    let rows = json!([{"id": "a", "x": 1}, {"id": "b", "x": 2}]);
    let ranked = json!([{"id": "b", "score": 2.0}, {"id": "a", "score": 1.0}]);
    assert_eq!(server.post("/rank", &rows), (200, ranked));
    assert_eq!(server.post("/wrong", &rows).1["error"]["code"], "invalid_output");
    assert!(server.stop().contains("in order of column `score`"));
}

#[test]
fn vetivers_clients_find_their_paths() {
    let code =
        "class Model:\n    def __init__(self, bundle): pass\n    def score(self, rows): return {'.pred': rows['x']}\n";
    let input = table(&[column("x", "number", json!({}))]);
    let output = table(&[column(".pred", "number", json!({}))]);
    let server = Service::new(code).endpoint("score", &input, &output).server("protocols", json!(["vetiver"])).start();
    let rows = json!([{"x": 1.5}, {"x": 2.0}]);
    assert_eq!(server.post("/predict", &rows), (200, json!([{".pred": 1.5}, {".pred": 2.0}])));
    assert_eq!(server.get("/ping"), (200, json!({"ping": "pong", "status": "online"})));
    assert_eq!(server.get("/metadata").1["version"], "1");
    assert_eq!(server.post("/predict", &json!([{"x": "no"}])).1["error"]["code"], "invalid_input");
    let metrics = String::from_utf8(server.exchange("GET", "/metrics", "", b"", &[]).2).unwrap();
    for code in ["ok", "invalid_input"] {
        let counted = |line: &str| line.contains("protocol=\"vetiver\"") && line.contains(code) && line.ends_with(" 1");
        assert!(metrics.lines().any(counted), "{code}: {metrics}");
    }
    let server = Service::new(code).endpoint("score", &input, &output).server("protocols", json!(["mlflow"])).start();
    assert_eq!((server.get("/metadata").0, server.post("/predict", &rows).0), (404, 404));
}
