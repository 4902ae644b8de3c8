//! Clients that others wrote speak to the real server unchanged: Triton's, KServe's, MLflow's, SageMaker's and MLServer's, and Schemathesis,
//! which tries everything that the OpenAPI document allows and forbids. pip brings them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::server::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        totals = [a + b for a, b in zip(rows['a'], rows['b'])]
        return {'label': ['high' if total > 10 else 'low' for total in totals], 'total': totals}
    def halve(self, x): return [[value / 2 for value in row] for row in x]
";

fn server() -> Server {
    let number = |name: &str| column(name, "number", json!({"minimum": -1e300, "maximum": 1e300, "example": 1.5}));
    let label = column("label", "category", json!({"enum": ["low", "high"]}));
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 3]});
    Service::new(CODE)
        .endpoint(
            "predict",
            &table(&[number("a"), number("b")]),
            &table(&[label, column("total", "number", json!({}))]),
        )
        .endpoint("halve", &tensor, &tensor)
        .task("predict", "classification")
        .batch()
        .start()
}

/// A service with an endpoint for every form that data may have.
fn every_form() -> Server {
    let code = "
class Model:
    def __init__(self, bundle): pass
    def table(self, rows): return {'text': rows['text'], 'count': rows['count']}
    def ask(self, value): return {'items': value.get('items', [])}
    def shout(self, text): return text.upper()
    def picture(self, picture): return picture
    def reverse(self, data): return data[::-1]
";
    let columns = [
        column("text", "string", json!({"pattern": "^[a-z]{1,8}$"})),
        column("count", "integer", json!({"default": 7, "minimum": 0.0, "nullable": true})),
    ];
    let output = [column("text", "string", json!({})), column("count", "integer", json!({"nullable": true}))];
    let mut input = table(&columns);
    input["extra"] = json!("ignore");
    let asked = json!({"type": "json", "schema": {
        "$defs": {"item": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
            "name": {"type": "string", "minLength": 1}, "day": {"type": "string", "format": "date"},
            "inner": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/item"}},
        }}},
        "type": "object", "additionalProperties": false,
        "properties": {"items": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/item"}}, "limit": {"enum": [1, 2, null]}},
    }});
    let answered = json!({"type": "json", "schema": {"type": "object", "required": ["items"]}});
    let image = json!({"type": "image", "media_types": ["image/png"]});
    let (text, binary) = (json!({"type": "text"}), json!({"type": "binary", "media_type": "application/octet-stream"}));
    Service::new(code)
        .endpoint("table", &input, &table(&output))
        .endpoint("ask", &asked, &answered)
        .endpoint("shout", &text, &text)
        .endpoint("picture", &image, &image)
        .endpoint("reverse", &binary, &binary)
        .start()
}

/// Versions 1, which halves, and 2 (stable), which divides by four.
fn versions() -> Server {
    let code = "
class Model:
    def __init__(self, bundle): self.by = float(open(bundle.artifact('model')).read())
    def halve(self, x): return [[value / self.by for value in row] for row in x]
    def tell(self, value): return {'value': value}
";
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 3]});
    let told =
        json!({"type": "json", "schema": {"$defs": {"any": true}, "properties": {"value": {"$ref": "#/$defs/any"}}}});
    let asked = json!({"type": "json", "schema": {"$defs": {"few": {"enum": [1, "two"]}}, "$ref": "#/$defs/few"}});
    Service::new(code)
        .endpoint("halve", &tensor, &tensor)
        .endpoint("tell", &asked, &told)
        .versions(&[("1", &[], "2"), ("2", &["stable"], "4")])
        .start()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}:\n{text}");
    text
}

/// Installs packages into a virtual environment of their own, and returns its folder of programs.
fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{name}"));
    let programs = folder.join("bin");
    if !programs.join("pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    }
    run(Command::new(programs.join("pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(packages));
    programs
}

/// Runs a script beside this file against the server.
fn script(programs: &Path, name: &str, server: &Server) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients").join(name);
    run(Command::new(programs.join("python")).arg(script).arg(server.port.to_string()));
}

#[test]
fn tritons_clients_send_and_get_tensors_over_rest_and_grpc() {
    let packages = ["tritonclient[http,grpc]==2.73.0", "numpy==2.4.6", "grpcio-health-checking", "grpcio-reflection"];
    let programs = environment("triton", &packages);
    let server = server();
    script(&programs, "triton.py", &server);
    script(&programs, "triton_grpc.py", &server);
    script(&programs, "triton_versions.py", &versions());
}

#[test]
fn kserves_client_speaks_both_versions() {
    let programs = environment("kserve", &["kserve==0.16.0"]);
    let server = server();
    script(&programs, "kserve_rest.py", &server);
    script(&programs, "kserve_grpc.py", &server);
}

#[test]
fn mlflows_client_sends_frames_and_arrays() {
    let programs = environment("mlflow", &["mlflow==3.17.2"]);
    script(&programs, "mlflow_scoring.py", &server());
}

#[test]
fn sagemakers_local_client_invokes() {
    let programs = environment("sagemaker", &["sagemaker==2.257.7"]);
    script(&programs, "sagemaker_local.py", &server());
}

#[test]
fn tensorflow_servings_guide_is_followed() {
    let programs = environment("requests", &["requests==2.32.5"]);
    script(&programs, "tensorflow_rest.py", &server());
    script(&programs, "tensorflow_versions.py", &versions());
}

#[test]
fn mlservers_client_sends_batches_of_requests() {
    let programs = environment("mlserver", &["mlserver==1.7.1"]);
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let tensor = |name: &str| json!({"name": name, "shape": [1], "datatype": "FP64", "data": [4]});
    let line = json!({"inputs": [tensor("a"), tensor("b")]}).to_string();
    std::fs::write(&input, format!("{line}\n{line}\n{line}\n")).unwrap();
    let address = format!("localhost:{}", server.port);
    run(Command::new(programs.join("mlserver"))
        .args(["infer", "--model-name", "test", "--batch-size", "2", "--url", &address, "--input-data-path"])
        .arg(&input)
        .arg("--output-data-path")
        .arg(&output));
    let answers = std::fs::read_to_string(&output).unwrap();
    let totals: Vec<serde_json::Value> = answers
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["outputs"][1]["data"].take())
        .collect();
    assert_eq!(totals, [json!([8.0]), json!([8.0]), json!([8.0])]);
}

#[test]
fn the_openapi_document_is_valid_and_means_what_it_says() {
    let programs = environment("openapi", &["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"]);
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/clients/schemathesis_hooks.py");
    for server in [server(), every_form(), versions()] {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("openapi.json");
        let (status, _, text) = server.exchange("GET", "/openapi.json", "", b"", &[]);
        assert_eq!(status, 200);
        std::fs::write(&document, text).unwrap();
        run(Command::new(programs.join("openapi-spec-validator")).arg(&document));
        let address = format!("http://127.0.0.1:{}", server.port);
        run(Command::new(programs.join("schemathesis"))
            .args(["run", "--seed", "1", "--max-examples", "200", "--url", &address])
            .arg(format!("{address}/openapi.json"))
            .env("SCHEMATHESIS_HOOKS", &hooks)
            .current_dir(folder.path()));
    }
}
