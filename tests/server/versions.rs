//! Several versions of a model in one server: each with its own workers, found by name, label and number in every protocol.

use prost::Message;
use serde_json::{Value, json};

use crate::grpc::{Contents, Name, Number, Request, Response, call, framed, infer, tensor};
use crate::support::{Server, Service, column, table};

/// A model that multiplies by what stands in its artifact, and says which version it is.
const CODE: &str = "
import os, time
class Model:
    def __init__(self, bundle):
        self.factor = int(open(bundle.artifact('model')).read())
        self.version = bundle.version
    def predict(self, rows):
        if 13 in list(rows['x']): os._exit(3)
        return {'y': [x * self.factor for x in rows['x']], 'version': self.version}
    def halve(self, rows): return {'y': [x / 2 for x in rows['x']], 'version': self.version}
";

fn service() -> Service {
    let input = table(&[column("x", "number", json!({}))]);
    let output = table(&[column("y", "number", json!({})), column("version", "string", json!({}))]);
    Service::new(CODE)
        .endpoint("predict", &input, &output)
        .endpoint("halve", &input, &output)
        .task("predict", "regression")
}

/// Versions 1.0.0, 1.1.0 (stable) and 2 (canary), which multiply by 10, 11 and 2.
fn several() -> Service {
    service().versions(&[("1.0.0", &[], "10"), ("1.1.0", &["stable"], "11"), ("2", &["canary"], "2")])
}

fn rows(x: f64) -> Value {
    json!({"rows": [{"x": x}]})
}

/// What the own protocol answers for 1.
fn own(server: &Server, path: &str) -> (u16, Value, String) {
    let body = rows(1.0).to_string();
    let (status, head, answer) = server.exchange("POST", path, "application/json", body.as_bytes(), &[]);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let version = head.lines().find_map(|line| line.strip_prefix("x-mlpack-version: "));
    (status, answer, version.unwrap_or_default().to_owned())
}

#[test]
fn each_version_answers_with_its_own_model() {
    let server = several().server("workers", json!(2)).start();
    for (path, y, version) in [
        ("/predict", 2.0, "2"),
        ("/v/2/predict", 2.0, "2"),
        ("/v/latest/predict", 2.0, "2"),
        ("/v/canary/predict", 2.0, "2"),
        ("/v/1.0.0/predict", 10.0, "1.0.0"),
        ("/v/1.1.0/predict", 11.0, "1.1.0"),
        ("/v/stable/predict", 11.0, "1.1.0"),
        ("/v/1/predict", 11.0, "1.1.0"),
        ("/v/1.0.0/halve", 0.5, "1.0.0"),
    ] {
        let (status, answer, named) = own(&server, path);
        assert_eq!((status, named.as_str()), (200, version), "{path}");
        assert_eq!(answer, json!({"rows": [{"y": y, "version": version}]}), "{path}");
    }
    let ready = json!({"status": "ready", "workers": {"ready": 6, "total": 6}});
    server.until(|| server.get("/readyz").1 == ready);
}

#[test]
fn versions_and_labels_stand_in_the_paths_of_tensorflow_serving() {
    let server = several().start();
    let body = json!({"instances": [1]});
    for (path, y, version) in [
        ("test:predict", 2.0, "2"),
        ("test/versions/2:predict", 2.0, "2"),
        ("predict/versions/1:predict", 11.0, "1.1.0"),
        ("test/versions/1.0.0:predict", 10.0, "1.0.0"),
        ("test/labels/canary:predict", 2.0, "2"),
        ("test/labels/stable:predict", 11.0, "1.1.0"),
        ("test/labels/latest:predict", 2.0, "2"),
    ] {
        let answer = server.post(&format!("/v1/models/{path}"), &body);
        assert_eq!(answer, (200, json!({"predictions": [{"y": y, "version": version}]})), "{path}");
    }
    let examples = json!({"examples": [{"x": 3}]});
    let regressed = server.post("/v1/models/test/labels/stable:regress", &examples);
    assert_eq!(regressed, (200, json!({"results": [33.0]})));
    let version = |number: &str| json!({"version": number, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}});
    let states = |path: &str| server.get(path).1["model_version_status"].clone();
    assert_eq!(states("/v1/models/test"), json!([version("2"), version("1")]), "whole numbers alone, latest first");
    assert_eq!(states("/v1/models/test/labels/stable"), json!([version("1")]));
    assert_eq!(server.get("/v1/models/test/versions/1/metadata").1["model_spec"]["version"], "1");
    assert_eq!(server.get("/v1/models/test/metadata").1["model_spec"]["version"], "2");
}

#[test]
fn a_version_whose_number_is_anothers_is_told_by_its_name() {
    let server = service().versions(&[("v1.0", &[], "10"), ("v1.1", &[], "11"), ("blue", &[], "2")]).start();
    let of = |path: &str| {
        let status = server.get(&format!("/v1/models/test{path}")).1;
        let metadata = server.get(&format!("/v1/models/test{path}/metadata")).1;
        assert_eq!(status["model_version_status"].as_array().unwrap().len(), 1, "{path}");
        [&status["model_version_status"][0], &metadata["model_spec"]].map(|of| of["version"].clone())
    };
    for (path, version) in [
        ("", "1"),
        ("/versions/1", "1"),
        ("/versions/v1.1", "1"),
        ("/versions/v1.0", "v1.0"),
        ("/versions/blue", "blue"),
    ] {
        // Of the model, the status lists numbers, and the metadata are the default version's.
        let metadata = if path.is_empty() { "blue" } else { version };
        assert_eq!(of(path), [version, metadata], "{path}");
    }
    let predict =
        |version: &str| server.post(&format!("/v1/models/test/versions/{version}:predict"), &json!({"instances": [1]}));
    assert_eq!(predict("1").1["predictions"][0]["version"], "v1.1");
    assert_eq!(predict("2").0, 404);
}

#[test]
fn a_warning_about_an_answer_names_the_version() {
    let output = table(&[column("y", "number", json!({"maximum": 5.0})), column("version", "string", json!({}))]);
    let server = Service::new(CODE)
        .endpoint("predict", &table(&[column("x", "number", json!({}))]), &output)
        .validate_output("predict", "warn")
        .versions(&[("1", &[], "10"), ("2", &[], "2")])
        .start();
    assert_eq!(own(&server, "/v/1/predict").0, 200);
    let log = server.stop();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warned: Vec<Value> = lines.filter(|line| line["message"] == "the answer does not fit its contract").collect();
    assert!(matches!(warned.as_slice(), [line] if line["version"] == "1"), "{log}");
}

#[test]
fn the_open_inference_protocol_names_the_version_that_answered() {
    let server = several().start();
    let body = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]});
    for (path, y, version) in [
        ("test", 2.0, "2"),
        ("test/versions/2", 2.0, "2"),
        ("test/versions/1", 11.0, "1.1.0"),
        ("predict/versions/1.0.0", 10.0, "1.0.0"),
        ("test/versions/stable", 11.0, "1.1.0"),
    ] {
        let (status, answer) = server.post(&format!("/v2/models/{path}/infer"), &body);
        assert_eq!((status, &answer["model_version"]), (200, &json!(version)), "{path}");
        assert_eq!(answer["outputs"][0]["data"], json!([y]), "{path}");
        let input = tensor("x", "INT32", &[1], Contents { ints: vec![1], ..Contents::default() });
        let (model, asked) = path.split_once("/versions/").unwrap_or((path, ""));
        let request = Request {
            model_name: model.to_owned(),
            model_version: asked.to_owned(),
            inputs: vec![input],
            ..Request::default()
        };
        let Response { model_version, outputs, .. } = infer(&server, &request).unwrap();
        assert_eq!(model_version, version, "{path} over gRPC");
        assert_eq!(outputs[1].contents.as_ref().unwrap().bytes, [version.as_bytes()], "{path} over gRPC");
    }
    let all = json!(["1.0.0", "1.1.0", "2"]);
    assert_eq!(server.get("/v2/models/test").1["versions"], all);
    assert_eq!(server.get("/v2/models/test/versions/1").1["versions"], all);
    let (_, index) = server.post("/v2/repository/index", &json!({"ready": true}));
    let of = |name: &str| {
        let entries = index.as_array().unwrap().iter().filter(|entry| entry["name"] == name);
        entries.map(|entry| entry["version"].clone()).collect::<Value>()
    };
    assert_eq!([of("test"), of("predict"), of("halve")], [all.clone(), all.clone(), all]);
}

#[test]
fn a_version_that_is_not_there_is_answered_with_those_that_are() {
    let server = several().start();
    let versions = "it has `1.0.0`, `1.1.0` (`stable`), `2` (`canary`)";
    let says = |path: &str, body: Option<&Value>, what: &str| {
        let (status, answer) = body.map_or_else(|| server.get(path), |body| server.post(path, body));
        let text = answer["error"]["message"].as_str().or(answer["error"].as_str()).unwrap().to_owned();
        assert_eq!((status, text), (404, format!("the model does not have this {what}, {versions}")), "{path}");
    };
    let tensor = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]});
    says("/v/3/predict", Some(&rows(1.0)), "version");
    says("/v2/models/test/versions/3/infer", Some(&tensor), "version");
    says("/v2/models/test/versions/3/ready", None, "version");
    says("/v1/models/test/versions/3:predict", Some(&json!({"instances": [1]})), "version");
    says("/v1/models/test/labels/2", None, "label");
    let request = Request { model_name: "test".to_owned(), model_version: "3".to_owned(), ..Request::default() };
    let (status, message) = infer(&server, &request).unwrap_err();
    assert!(status == 5 && message.contains("`1.1.0` (`stable`)"), "{status} {message}");
    assert_eq!(server.post("/v/2/nothing", &rows(1.0)).0, 404);
    assert_eq!(server.get("/v/2/predict").0, 405);
}

#[test]
fn a_version_that_cannot_be_loaded_leaves_the_others_alone() {
    let server = service().versions(&[("1", &[], "no number"), ("2", &[], "2")]).launch();
    server.until(|| server.post("/predict", &rows(1.0)).0 == 200);
    assert_eq!(server.get("/readyz").0, 503);
    assert_eq!(server.post("/v/1/predict", &rows(1.0)).1["error"]["code"], "not_ready");
    assert_eq!(server.get("/v2/models/test/versions/1/ready").0, 503);
    assert_eq!(server.get("/v2/models/test/versions/2/ready").0, 200);
    assert_eq!(server.get("/v2/models/test/ready").0, 503);
    let ready = |version: &str| {
        let name = framed(&Name { name: "test".to_owned(), version: version.to_owned() });
        let (messages, ..) = call(&server, "/inference.GRPCInferenceService/ModelReady", name);
        Number::decode(messages[0].clone()).unwrap().value
    };
    assert_eq!([ready("1"), ready("2"), ready("")], [0, 1, 0]);
    let (_, status) = server.get("/v1/models/test");
    let states: Vec<&Value> =
        status["model_version_status"].as_array().unwrap().iter().map(|version| &version["state"]).collect();
    assert_eq!(states, ["AVAILABLE", "LOADING"]);
    let (_, index) = server.post("/v2/repository/index", &json!({"ready": true}));
    assert!(index.as_array().unwrap().iter().all(|entry| entry["version"] == "2"), "{index}");
    let failed = |line: &Value| line["message"] == "worker failed to start" && line["version"] == "1";
    let log = server.stop();
    assert!(log.lines().any(|line| failed(&serde_json::from_str(line).unwrap())), "{log}");
}

#[test]
fn each_version_has_its_own_numbers_and_results() {
    let server = several().set("predict", "cache_bytes", json!(100_000)).start();
    for path in ["/predict", "/predict", "/v/1/predict"] {
        assert_eq!(server.post(path, &rows(1.0)).0, 200);
    }
    assert_eq!(server.post("/v/stable/predict", &rows(13.0)).0, 500);
    server.until(|| server.get("/readyz").0 == 200);
    assert_eq!(server.post("/v/3/predict", &rows(1.0)).0, 404);
    let (_, _, page) = server.exchange("GET", "/metrics", "", b"", &[]);
    let page = String::from_utf8(page).unwrap();
    for line in [
        "mlpack_model_info{name=\"test\",version=\"1.1.0\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"2\",protocol=\"own\",code=\"ok\"} 2",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1.1.0\",protocol=\"own\",code=\"ok\"} 1",
        "mlpack_requests_total{endpoint=\"predict\",version=\"1.1.0\",protocol=\"own\",code=\"worker_died\"} 1",
        "mlpack_requests_total{endpoint=\"\",version=\"\",protocol=\"own\",code=\"not_found\"} 1",
        "mlpack_model_duration_seconds_count{endpoint=\"predict\",version=\"1.0.0\"} 0",
        "mlpack_cache_requests_total{endpoint=\"predict\",version=\"2\",result=\"hit\"} 1",
        "mlpack_cache_requests_total{endpoint=\"predict\",version=\"1.1.0\",result=\"hit\"} 0",
        "mlpack_workers_ready{version=\"1.0.0\"} 1",
        "mlpack_worker_restarts_total{version=\"1.1.0\"} 1",
        "mlpack_worker_restarts_total{version=\"2\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let log = server.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let versions = |message: &str| {
        let found = lines.iter().filter(|line| line["message"] == message && line["path"] != "/v/3/predict");
        found.filter(|line| line["path"] != "/readyz").map(|line| line["version"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(versions("worker lost"), ["1.1.0"]);
    assert_eq!(versions("request"), ["2", "2", "1.1.0", "1.1.0"]);
}

#[test]
fn the_document_and_the_page_name_versions_only_where_there_are_several() {
    let server = several().start();
    let (_, document) = server.get("/openapi.json");
    let operation = &document["paths"]["/v/{version}/predict"]["post"];
    let names = json!(["2", "canary", "1.1.0", "stable", "1.0.0"]);
    assert_eq!(operation["parameters"][0]["schema"]["enum"], names);
    assert_eq!(document["info"]["version"], "2");
    let (_, summary) = server.get("/");
    assert_eq!(summary["versions"][1], json!({"version": "1.1.0", "labels": ["stable"]}));
    let (_, _, page) = server.exchange("GET", "/", "", b"", &[("accept", "text/html")]);
    assert!(String::from_utf8(page).unwrap().contains("<code>1.1.0</code></td><td>stable</td>"));
    let alone = service().versions(&[("1.0.0", &[], "10")]).start();
    assert!(alone.get("/openapi.json").1["paths"].as_object().unwrap().keys().all(|path| !path.starts_with("/v/")));
    let (status, answer, named) = own(&alone, "/v/1/predict");
    assert_eq!(
        (status, &answer["rows"][0]["y"], named.as_str()),
        (200, &json!(10.0), ""),
        "who names it is answered, too"
    );
}

#[test]
fn a_name_for_two_versions_is_refused() {
    for versions in [[("1", &["x"][..], "1"), ("2", &["x"], "2")], [("1", &["2"], "1"), ("2", &[], "2")]] {
        let log = service().versions(&versions).fails();
        assert!(log.contains("stands for more than one version of the model"), "{log}");
    }
}

#[test]
fn requests_in_flight_are_counted_by_endpoint_and_version() {
    const WAITS: &str = "
import os, time
class Model:
    def __init__(self, bundle): self.gate = os.path.join(os.path.dirname(__file__), 'gate')
    def wait(self, rows):
        while not os.path.exists(self.gate): time.sleep(0.01)
        return {'y': list(rows['x'])}
    predict = halve = wait
";
    let numbers = |name: &str| table(&[column(name, "number", json!({}))]);
    let server = Service::new(WAITS)
        .endpoint("predict", &numbers("x"), &numbers("y"))
        .endpoint("halve", &numbers("x"), &numbers("y"))
        .versions(&[("1", &[], ""), ("2", &[], "")])
        .start();
    let in_flight = |endpoint: &str, version: &str, count: usize| {
        let line = format!("mlpack_requests_in_flight{{endpoint=\"{endpoint}\",version=\"{version}\"}} {count}");
        let page = server.exchange("GET", "/metrics", "", b"", &[]).2;
        String::from_utf8(page).unwrap().lines().any(|found| found == line)
    };
    let instances = json!({"signature_name": "halve", "instances": [1]});
    std::thread::scope(|scope| {
        for (path, body) in
            [("/v/1/predict", rows(1.0)), ("/v/1/predict", rows(2.0)), ("/v1/models/test:predict", instances)]
        {
            let server = &server;
            scope.spawn(move || assert_eq!(server.post(path, &body).0, 200, "{path}"));
        }
        server.until(|| in_flight("predict", "1", 2) && in_flight("halve", "2", 1));
        assert!(in_flight("predict", "2", 0), "the signature in the body counts");
        server.open_gate();
    });
    for (endpoint, version) in [("predict", "1"), ("halve", "2"), ("", "")] {
        server.until(|| in_flight(endpoint, version, 0));
    }
}
