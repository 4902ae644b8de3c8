//! Traces, as an OpenTelemetry collector gets them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Service, column, table};
use crate::tls::certificate;

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        if 13 in list(rows['x']): raise RuntimeError('unlucky')
        return rows
";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that is busy when it is asked for the first time.
struct Collector {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        Self::serve(|connection| connection)
    }

    /// Speaks over TLS with this key and certificate.
    fn start_tls(key: &str, certificate: &str) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let config = Arc::new(config.unwrap());
        Self::serve(move |connection| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), connection))
    }

    fn serve<S: Read + Write>(speak: impl Fn(TcpStream) -> S + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, spans) = (Arc::default(), Arc::default());
        let collector = Self { port, heads: Arc::clone(&heads), spans: Arc::clone(&spans) };
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = speak(connection.unwrap());
                let (head, body) = request(&mut connection);
                let mut heads = heads.lock().unwrap();
                let status = if heads.is_empty() { "503 Busy" } else { "200 OK" };
                heads.push(head);
                if status == "200 OK" {
                    spans.lock().unwrap().extend(spans_of(&body));
                }
                write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}").unwrap();
            }
        });
        collector
    }
}

fn request(connection: &mut impl Read) -> (String, Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    connection.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn spans_of(body: &Value) -> Vec<Value> {
    let resource = &body["resourceSpans"][0]["resource"]["attributes"];
    let expected = json!([
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "service.version", "value": {"stringValue": "1"}},
        {"key": "region", "value": {"stringValue": "north"}},
    ]);
    assert_eq!(*resource, expected);
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let attributes = span["attributes"].as_array()?;
    attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| &attribute["value"])
}

#[test]
fn requests_and_model_calls_are_spans_of_the_callers_trace() {
    let collector = Collector::start();
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE)
        .endpoint("predict", &data, &data)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://localhost:{}", collector.port))
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "region=north")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start();
    let call = |x: i64, trace: &str| {
        let body = json!({"rows": [{"x": x}]}).to_string();
        server.post_as("/predict", "application/json", body.as_bytes(), &[("traceparent", trace)]).0
    };
    assert_eq!(call(1, CALLER), 200);
    assert_eq!(call(13, CALLER), 500);
    assert_eq!(call(1, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), 200);
    assert_eq!(server.post("/predict", &json!({"rows": []})).0, 422);
    server.until(|| collector.spans.lock().unwrap().len() >= 5);
    server.until(|| {
        let page = String::from_utf8(server.exchange("GET", "/metrics", "", b"", &[]).2).unwrap();
        page.contains("mlpack_spans_sent_total 5\n") && page.contains("mlpack_spans_dropped_total 0\n")
    });

    let heads = collector.heads.lock().unwrap();
    assert!(heads[0].starts_with("post /v1/traces http/1.1\r\n") && heads[0].contains("x-tenant: a b"), "{heads:?}");
    assert!(heads.len() >= 2, "it was asked again");
    let spans = collector.spans.lock().unwrap();
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let requests = named("POST /predict");
    assert_eq!(requests.len(), 3, "the caller did not want one of them: {spans:?}");
    let first = requests[0];
    assert_eq!(first["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&first["parentSpanId"], &first["kind"]), (&json!("00f067aa0ba902b7"), &json!(2)));
    assert_eq!(attribute(first, "http.response.status_code"), Some(&json!({"intValue": "200"})));
    for name in ["queue", "model"] {
        let part = named(name)[0];
        assert_eq!((&part["parentSpanId"], &part["traceId"]), (&first["spanId"], &first["traceId"]), "{name}");
        let time = |span: &Value, end: &str| span[end].as_str().unwrap().parse::<u128>().unwrap();
        assert!(time(part, "startTimeUnixNano") >= time(first, "startTimeUnixNano"), "{name}");
        assert!(time(part, "endTimeUnixNano") <= time(first, "endTimeUnixNano"), "{name}");
    }
    assert_eq!(requests[1]["status"], json!({"code": 2}));
    let root = requests[2];
    assert!(root.get("parentSpanId").is_none() && root["status"] == json!({}), "{root}");
    assert_ne!(root["traceId"], first["traceId"]);
    drop((heads, spans));
    let log = server.stop();
    let failed = log.lines().find(|line| line.contains("\"call failed\"")).unwrap();
    assert!(failed.contains("4bf92f3577b34da6a3ce929d0e0e4736") && failed.contains("request_id"), "{failed}");
}

#[test]
fn spans_go_over_tls_to_a_collector_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = certificate(folder.path(), "collector");
    let collector = Collector::start_tls(&key, &certificate);
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE)
        .endpoint("predict", &data, &data)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://localhost:{}", collector.port))
        .file("OTEL_EXPORTER_OTLP_CERTIFICATE", "authorities.pem", &certificate)
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "region=north")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start();
    assert_eq!(server.post("/predict", &json!({"rows": [{"x": 1}]})).0, 200);
    server.until(|| collector.spans.lock().unwrap().iter().any(|span| span["name"] == "POST /predict"));
}

#[test]
fn settings_that_are_not_supported_cost_the_traces_alone() {
    let data = table(&[column("x", "integer", json!({}))]);
    for (name, value) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "xray")] {
        let server = Service::new(CODE)
            .endpoint("predict", &data, &data)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .env(name, value)
            .start();
        assert_eq!(server.post("/predict", &json!({"rows": [{"x": 1}]})).0, 200);
        let log = server.stop();
        let said = log.lines().find(|line| line.contains("no traces are sent")).unwrap();
        assert!(said.contains(name) && said.contains(value) && said.contains("\"warn\""), "{said}");
    }
}

#[test]
fn a_collector_that_is_away_holds_up_nobody() {
    let data = table(&[column("x", "integer", json!({}))]);
    let server = Service::new(CODE)
        .endpoint("predict", &data, &data)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "3")
        .start();
    for _ in 0..10 {
        assert_eq!(server.post("/predict", &json!({"rows": [{"x": 1}]})).0, 200);
    }
    server.until(|| {
        let page = String::from_utf8(server.exchange("GET", "/metrics", "", b"", &[]).2).unwrap();
        page.lines().any(|line| line.starts_with("mlpack_spans_dropped_total ") && !line.ends_with(" 0"))
    });
    assert!(server.stop().contains("spans were not sent"), "it says so");
}
