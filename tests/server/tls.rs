//! TLS, as curl sees it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Server, Service, column, table};

/// Makes a key and a certificate for `localhost` of this name in a folder; returns both.
pub(crate) fn certificate(folder: &Path, name: &str) -> (String, String) {
    let [key, certificate] = ["key", "pem"].map(|kind| folder.join(format!("{name}.{kind}")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (std::fs::read_to_string(key).unwrap(), std::fs::read_to_string(certificate).unwrap())
}

/// Asks for `/livez` over TLS; `None` where curl does not trust the server.
fn curl(server: &Server, trusted: &Path, arguments: &[&str]) -> Option<String> {
    ask(server, "/livez", trusted, arguments).map(|answer| String::from_utf8(answer).unwrap())
}

/// Asks for a path over TLS; gives the answer with the version of HTTP behind it.
fn ask(server: &Server, path: &str, trusted: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let url = format!("https://localhost:{}{path}", server.port);
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--write-out", " %{http_version}", "--cacert"])
        .arg(trusted)
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    output.status.success().then_some(output.stdout)
}

/// A service that answers with its input.
fn echo() -> Service {
    let data = table(&[column("x", "integer", json!({}))]);
    Service::new("class Model:\n    def __init__(self, bundle): pass\n    def predict(self, rows): return rows\n")
        .endpoint("predict", &data, &data)
}

#[test]
fn grpc_goes_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = certificate(folder.path(), "own");
    let server =
        echo().file("MLPACK_TLS_CERT", "cert.pem", &certificate).file("MLPACK_TLS_KEY", "key.pem", &key).launch();
    server.until(|| server.healthcheck());
    let (trusted, message) = (folder.path().join("own.pem"), folder.path().join("message"));
    // An empty message: its frame alone.
    std::fs::write(&message, [0; 5]).unwrap();
    let body = format!("@{}", message.display());
    let arguments = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &body];
    let answer = ask(&server, "/inference.GRPCInferenceService/ServerLive", &trusted, &arguments);
    assert_eq!(answer.as_deref(), Some(&b"\0\0\0\0\x02\x08\x01 2"[..]), "the service is live");
}

#[test]
fn certificates_are_served_and_exchanged_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (first_key, first) = certificate(folder.path(), "first");
    let (second_key, second) = certificate(folder.path(), "second");
    let [first_file, second_file] = ["first.pem", "second.pem"].map(|name| folder.path().join(name));
    let server = echo()
        .file("MLPACK_TLS_CERT", "cert.pem", &first)
        .file("MLPACK_TLS_KEY", "key.pem", &first_key)
        .env("MLPACK_HEAD_TIMEOUT", "0.5")
        .launch();
    server.until(|| server.healthcheck());
    assert_eq!(curl(&server, &first_file, &["--http2"]).as_deref(), Some("{\"status\":\"live\"} 2"));
    assert_eq!(curl(&server, &first_file, &["--http1.1"]).as_deref(), Some("{\"status\":\"live\"} 1.1"));
    assert_eq!(curl(&server, &first_file, &["--tls-max", "1.2"]).as_deref(), Some("{\"status\":\"live\"} 2"));
    assert_eq!(curl(&server, &second_file, &[]), None);

    // Half of an exchange fits together no more, and changes nothing.
    std::fs::write(server.path("cert.pem"), &second).unwrap();
    server.until(|| server.log().contains("cannot be used together"));
    assert!(curl(&server, &first_file, &[]).is_some());
    assert!(server.healthcheck(), "the server is well with the certificate that it has");
    std::fs::write(server.path("key.pem"), &second_key).unwrap();
    server.until(|| curl(&server, &second_file, &[]).is_some());
    assert_eq!(curl(&server, &first_file, &[]), None);
    assert!(server.healthcheck());

    // A client that never finishes its handshake is left.
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    silent.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
    assert_eq!(std::io::Read::read(&mut silent, &mut [0]).unwrap(), 0);
}
