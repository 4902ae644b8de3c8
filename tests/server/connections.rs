//! Limits for connections: none that is slow, silent or one too many keeps the server from others.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Server, Service, column, table};

const ECHO: &str = "
class Model:
    def __init__(self, bundle): pass
    def echo(self, rows): return rows
";

fn echo() -> Service {
    let data = table(&[column("x", "integer", json!({}))]);
    Service::new(ECHO).endpoint("echo", &data, &data)
}

fn request(x: usize) -> String {
    let body = json!({"rows": [{"x": x}]}).to_string();
    format!(
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Connects and sends; what comes is read until the end by [`rest`].
fn send(server: &Server, text: &str) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    connection.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    connection.write_all(text.as_bytes()).unwrap();
    connection
}

/// Reads until the server ends the connection.
fn rest(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server does not end the connection");
    }
    String::from_utf8(answer).unwrap()
}

fn is_fine(server: &Server) {
    assert_eq!(server.post("/echo", &json!({"rows": [{"x": 1}]})), (200, json!({"rows": [{"x": 1}]})));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = echo().start();
    let all: String = (0..20).map(request).collect();
    let last = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = rest(send(&server, &(all + last)));
    let places: Vec<usize> =
        (0..20).map(|x| answer.find(&format!("{{\"rows\":[{{\"x\":{x}}}]}}")).expect("an answer for each")).collect();
    assert!(places.is_sorted() && answer.ends_with("{\"status\":\"live\"}"), "{answer}");
}

#[test]
fn heads_that_are_too_large_or_too_slow_are_refused() {
    let server = echo().env("MLPACK_HEAD_TIMEOUT", "0.5").start();
    let long = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(70_000));
    let many = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: y\r\n".repeat(200));
    let answer = rest(send(&server, &many));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // What is left unread may cost the client the answer.
    let answer = rest(send(&server, &long));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let slow: Vec<TcpStream> = (0..50).map(|_| send(&server, "GET /livez HTTP/1.1\r\nhost: ")).collect();
    is_fine(&server);
    for connection in slow {
        assert_eq!(rest(connection), "");
    }
}

#[test]
fn idle_connections_end_and_half_closed_ones_too() {
    let server = echo().env("MLPACK_IDLE_TIMEOUT", "0.5").start();
    assert_eq!(rest(send(&server, "")), "");
    let kept_alive = rest(send(&server, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert!(kept_alive.starts_with("HTTP/1.1 200 ") && !kept_alive.contains("connection: close"), "{kept_alive}");
    for start in
        ["", "POST /echo HTTP/1.1\r\ncontent-le", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
    {
        let connection = send(&server, start);
        connection.shutdown(Shutdown::Write).unwrap();
        rest(connection);
    }
    is_fine(&server);
}

#[test]
fn with_too_many_connections_the_longest_idle_one_gives_way() {
    let server = echo().env("MLPACK_MAX_CONNECTIONS", "8").start();
    let idle: Vec<TcpStream> = (0..40).map(|_| send(&server, "")).collect();
    is_fine(&server);
    for connection in idle.into_iter().take(32) {
        assert_eq!(rest(connection), "");
    }
    is_fine(&server);
}

#[test]
fn clients_that_send_heads_and_no_bodies_keep_nobody_out() {
    let server = echo().env("MLPACK_MAX_CONNECTIONS", "8").start();
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let _silent: Vec<TcpStream> = (0..40).map(|_| send(&server, head)).collect();
    let start = Instant::now();
    is_fine(&server);
    assert!(start.elapsed() < Duration::from_secs(15), "bodies may take twice as long");
}

#[test]
fn clients_that_watch_keep_nobody_out() {
    let server = echo().env("MLPACK_MAX_CONNECTIONS", "4").start();
    let usual_window = [0, 4, 0, 0, 255, 255];
    let mut watching: Vec<TcpStream> = (0..4).map(|_| http2(&server, usual_window, &watch())).collect();
    let (mut answer, last) = (Vec::new(), watching.last_mut().unwrap());
    while !has_head(&answer) {
        let mut more = [0; 64];
        let length = last.read(&mut more).unwrap();
        assert!(length > 0, "the server ends the connection");
        answer.extend_from_slice(&more[..length]);
    }
    is_fine(&server);
}

#[test]
fn bodies_that_are_too_large_together_are_refused_until_there_is_room() {
    let code = "
import os, time
folder = os.path.dirname(__file__)
class Model:
    def __init__(self, bundle): pass
    def size(self, data):
        open(os.path.join(folder, 'called'), 'w').close()
        while not os.path.exists(os.path.join(folder, 'gate')): time.sleep(0.01)
        return str(len(data)).encode()
";
    let data = json!({"type": "binary", "media_type": "application/octet-stream"});
    let service = Service::new(code).endpoint("size", &data, &data).server("max_body_bytes", json!(100_000));
    let server = service.env("MLPACK_MAX_PENDING_BYTES", "1").start();
    let send = |size: usize| server.exchange("POST", "/size", "application/octet-stream", &vec![0; size], &[]);
    std::thread::scope(|scope| {
        // The room is never smaller than one body may be.
        let first = scope.spawn(|| send(100_000));
        server.until(|| server.path("called").exists());
        let (status, head, _) = send(60_000);
        assert!(status == 429 && head.contains("retry-after: 1") && head.contains("connection: close"), "{head}");
        server.open_gate();
        assert_eq!(first.join().unwrap().2, b"100000");
    });
    assert_eq!(send(60_000).2, b"60000");
}

#[test]
fn a_client_that_takes_no_answer_is_left() {
    let data = json!({"type": "binary", "media_type": "application/octet-stream"});
    let code = "
class Model:
    def __init__(self, bundle): pass
    def big(self, body): return bytes(32 << 20)
";
    let server = Service::new(code).endpoint("big", &data, &data).env("MLPACK_STALL_TIMEOUT", "0.5").start();
    let head = "POST /big HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 1\r\n\r\nx";
    let connection = send(&server, head);
    let connections = |server: &Server| {
        let page = String::from_utf8(server.exchange("GET", "/metrics", "", b"", &[]).2).unwrap();
        let count = page.lines().find_map(|line| line.strip_prefix("mlpack_connections ")).unwrap().to_owned();
        count.parse::<usize>().unwrap()
    };
    server.until(|| connections(&server) == 2);
    server.until(|| connections(&server) == 1);
    drop(connection);
}

/// A frame of HTTP/2 (RFC 9113, section 4.1) on stream 1, or on none.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length, [kind, flags, 0].as_slice(), &[0, 0, stream], payload].concat()
}

/// Begins HTTP/2 with one setting (section 6.5) and more frames.
fn http2(server: &Server, setting: [u8; 6], frames: &[Vec<u8>]) -> TcpStream {
    let mut connection = send(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    connection.write_all(&[frame(4, 0, 0, &setting), frames.concat()].concat()).unwrap();
    connection
}

/// Returns whether frames of stream 1 hold an answer's head, which is of kind 1.
fn has_head(answer: &[u8]) -> bool {
    answer.windows(6).any(|window| window[0] == 1 && window[1..] == [4, 0, 0, 0, 1])
}

/// Waits until the server ends a connection that it has answered.
fn is_left(mut connection: TcpStream) {
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server does not end the connection");
    }
    assert!(has_head(&answer), "{answer:?}");
}

/// Header fields as HPACK has them, and names of those whose value follows (RFC 7541, appendix A).
const HTTP: u8 = 0x86;
const GET: u8 = 0x82;
const POST: u8 = 0x83;
const PATH: u8 = 0x04;
const CONTENT_TYPE: &[u8] = &[0x0f, 0x10];
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// Returns the frames of a question how the server is from now on.
fn watch() -> [Vec<u8>; 2] {
    let (path, kind) = (b"/grpc.health.v1.Health/Watch", b"application/grpc");
    let path = [&[POST, HTTP, PATH, path.len() as u8], path.as_slice()].concat();
    let head = [&path, CONTENT_TYPE, &[kind.len() as u8], kind].concat();
    [frame(1, END_HEADERS, 1, &head), frame(0, END_STREAM, 1, &[0; 5])]
}

#[test]
fn an_http_2_client_that_takes_no_answer_is_left() {
    let server = echo().env("MLPACK_STALL_TIMEOUT", "0.5").start();
    let no_window = [0, 4, 0, 0, 0, 0];
    let head = [&[GET, HTTP, PATH, 6], b"/livez".as_slice()].concat();
    is_left(http2(&server, no_window, &[frame(1, END_HEADERS | END_STREAM, 1, &head)]));
    is_fine(&server);
}

#[test]
fn a_watching_client_that_is_silent_is_asked_whether_it_lives() {
    let server = echo().env("MLPACK_IDLE_TIMEOUT", "0.5").env("MLPACK_STALL_TIMEOUT", "0.5").start();
    let usual_window = [0, 4, 0, 0, 255, 255];
    is_left(http2(&server, usual_window, &watch()));
    is_fine(&server);
}
