//! Fetching wheels from package indexes on loopback: JSON and HTML pages, credentials, and what a hostile one gives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use mlpack::digest::Digest;
use mlpack::ecosystem::pypi::{Indexes, Requirements, Settings, Uv, fetch, simple, uv};
use mlpack::error::{Diagnose as _, Exit};
use mlpack::event::Silent;
use mlpack::fetch::home::Home;
use mlpack::fetch::http::Http;
use mlpack::lock::{Package, PackageKind};

const BYTES: &[u8] = b"wheel";
const FILE: &str = "demo-1.0+cpu-py3-none-any.whl";

/// An answer: status line, further headers, body.
type Answer = (&'static str, String, Vec<u8>);

/// A server that gives fixed answers and keeps the requests.
#[derive(Clone)]
struct Server {
    port: u16,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { port: listener.local_addr().unwrap().port(), answers: Arc::default(), requests: Arc::default() };
        let own = server.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| own.answer(stream)));
        server
    }

    fn answer(&self, mut stream: TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let Some(path) = request.first().and_then(|line| line.split(' ').nth(1)) else { return };
        let missing = || ("404 Not Found", String::new(), Vec::new());
        let (status, headers, body) = self.answers.lock().unwrap().get(path).cloned().unwrap_or_else(missing);
        self.requests.lock().unwrap().push(request.join("\n").to_lowercase());
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    }

    fn give(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.put(path, ("200 OK", String::new(), body.into()));
    }

    fn put(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    home: Home,
    http: Http,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        Self { _folder: folder, home, http: Http::new(Arc::new(Silent), false) }
    }

    fn fetch(&self, index: &str) -> Result<mlpack::fetch::Blob, simple::SimpleError> {
        fetch(&package(), None, &indexes(index), &self.home.blobs().unwrap(), &self.http)
    }
}

fn indexes(index: &str) -> Indexes {
    several_indexes("", index)
}

/// Those that come `before` the default one, which is asked last.
fn several_indexes(before: &str, default: &str) -> Indexes {
    let variables = [("UV_INDEX", before), ("UV_DEFAULT_INDEX", default)];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = Settings { environment, root: PathBuf::from("/nowhere"), ..Settings::default() };
    Indexes::new(&settings, || panic!("an index is configured")).unwrap()
}

fn package() -> Package {
    Package {
        kind: PackageKind::Wheel,
        name: "demo".to_owned(),
        version: "1.0+cpu".to_owned(),
        architecture: None,
        source: None,
        release: None,
        path: FILE.to_owned(),
        size: BYTES.len() as u64,
        sha256: Digest::of(BYTES),
        reasons: Vec::new(),
    }
}

fn json_page(url: &str) -> String {
    let hash = Digest::of(BYTES).hex();
    serde_json::json!({
        "meta": {"api-version": "1.1"},
        "files": [
            {"filename": FILE, "url": "wrong.whl", "hashes": {"sha256": "0".repeat(64)}},
            {"filename": FILE, "url": url, "hashes": {"sha256": hash}, "yanked": "broken", "future": 1},
        ],
    })
    .to_string()
}

#[test]
fn a_file_is_found_by_name_and_hash_in_a_json_page() {
    let (server, bench) = (Server::start(), Bench::new());
    server.give("/simple/demo/", json_page("../../files/demo.whl"));
    server.give("/files/demo.whl", BYTES);
    let blob = bench.fetch(&server.url("/simple")).unwrap();
    assert_eq!(blob.read().unwrap(), BYTES);
    let asked = server.requests().len();
    bench.fetch(&server.url("/simple")).unwrap();
    assert_eq!(server.requests().len(), asked, "a second call needs no network");
}

#[test]
fn an_index_with_html_alone_is_read() {
    let (server, bench) = (Server::start(), Bench::new());
    let page = format!(
        "<!DOCTYPE html><html><body><a href='javascript:alert(1)'>x</a>\n\
         <a data-requires-python=\"&gt;=3.8\" href=\"/files/{}#sha256={}\" data-yanked>demo</a></body></html>",
        FILE.replace('+', "%2B"),
        Digest::of(BYTES).hex(),
    );
    server.give("/simple/demo/", page);
    server.give("/files/demo-1.0%2Bcpu-py3-none-any.whl", BYTES);
    bench.fetch(&server.url("/simple/")).unwrap();
    let index = url::Url::parse(&server.url("/simple")).unwrap();
    let files = simple::files(&bench.http, &indexes(index.as_str()), &index, "demo").unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].requires_python.as_deref(), files[0].yanked), (Some(">=3.8"), true));
}

#[test]
fn other_bytes_than_the_locked_ones_are_refused() {
    let (server, bench) = (Server::start(), Bench::new());
    server.give("/simple/demo/", json_page("/files/demo.whl"));
    server.give("/files/demo.whl", *b"WHEEL");
    let error = bench.fetch(&server.url("/simple")).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity);
    assert!(bench.home.blobs().unwrap().get(&Digest::of(b"WHEEL")).unwrap().is_none());
}

#[test]
fn a_file_that_no_index_has_names_the_indexes_without_passwords() {
    let (server, bench) = (Server::start(), Bench::new());
    let index = server.url("/simple").replace("http://", "http://me:secret@");
    let error = bench.fetch(&index).unwrap_err();
    assert_eq!(error.exit(), Exit::Resolution);
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn credentials_reach_the_index_and_nobody_else() {
    let (index, other, bench) = (Server::start(), Server::start(), Bench::new());
    index.give("/simple/demo/", json_page("/files/demo.whl"));
    let location = format!("Location: {}\r\n", other.url("/demo.whl"));
    index.put("/files/demo.whl", ("302 Found", location, Vec::new()));
    other.give("/demo.whl", BYTES);
    bench.fetch(&index.url("/simple").replace("http://", "http://me:secret@")).unwrap();
    assert!(index.requests().iter().all(|request| request.contains("authorization: basic")));
    assert_eq!(other.requests().len(), 1);
    assert!(!other.requests()[0].contains("authorization"));
}

#[test]
fn an_index_that_refuses_or_has_lost_the_file_does_not_hide_the_next() {
    let (first, second, bench) = (Server::start(), Server::start(), Bench::new());
    let indexes = several_indexes(&first.url("/simple"), &second.url("/simple"));
    let fetch = |known| fetch(&package(), known, &indexes, &bench.home.blobs().unwrap(), &bench.http);
    first.put("/simple/demo/", ("403 Forbidden", String::new(), Vec::new()));
    let error = fetch(None).unwrap_err();
    assert!(error.to_string().contains("403") && error.exit() == Exit::Network, "{error}");
    second.give("/simple/demo/", json_page("/files/demo.whl"));
    second.give("/files/demo.whl", BYTES);
    fetch(None).unwrap();
    let remove = || std::fs::remove_dir_all(bench.home.blobs().unwrap().root().join("blobs")).unwrap();
    remove();
    first.give("/simple/demo/", json_page("/files/lost.whl"));
    let known = url::Url::parse(&first.url("/simple/demo/refused.whl")).unwrap();
    first.put(known.path(), ("401 Unauthorized", String::new(), Vec::new()));
    fetch(Some(&known)).unwrap();
    let asked = first.requests();
    assert!(asked.iter().any(|request| request.contains("/files/lost.whl")), "{asked:?}");
}

#[test]
fn a_file_on_another_host_gets_no_credentials() {
    let (index, other, bench) = (Server::start(), Server::start(), Bench::new());
    index.give("/simple/demo/", json_page(&other.url("/demo.whl")));
    other.give("/demo.whl", BYTES);
    bench.fetch(&index.url("/simple").replace("http://", "http://me:secret@")).unwrap();
    assert!(!other.requests()[0].contains("authorization"));
}

#[test]
fn a_page_that_is_not_an_index_is_named() {
    let (server, bench) = (Server::start(), Bench::new());
    server.give("/simple/demo/", "{\"files\": 3}");
    let error = bench.fetch(&server.url("/simple")).unwrap_err();
    assert!(error.to_string().ends_with("/simple/demo/ is not a page of a package index"), "{error}");
}

#[test]
fn options_are_no_requirements() {
    let bench = Bench::new();
    let uv = Uv::own("/nowhere/uv".as_ref(), bench.home.cache());
    let target = uv::Target { python: "3.11".parse().unwrap(), platform: "linux/amd64".parse().unwrap(), glibc: 36 };
    let indexes = indexes("https://index.test/simple");
    for text in ["-r /etc/passwd", "--index-url http://evil.test", "six\n-r /etc/passwd"] {
        let requirements = Requirements::List(vec![text.to_owned()]);
        let error = uv.resolve(&requirements, "".as_ref(), &target, &indexes, &bench.http).unwrap_err();
        assert_eq!(error.exit(), Exit::Manifest, "{error}");
    }
}

#[test]
fn a_ready_lock_needs_no_resolver_and_sizes_are_asked_for() {
    let (server, bench) = (Server::start(), Bench::new());
    server.give("/files/demo-1.0-py3-none-any.whl", BYTES);
    let folder = tempfile::tempdir().unwrap();
    let lock = format!(
        "lock-version = \"1.0\"\n[[packages]]\nname = \"demo\"\nversion = \"1.0\"\n\
         wheels = [{{url = \"{}\", hashes = {{sha256 = \"{}\"}}}}]\n",
        server.url("/files/demo-1.0-py3-none-any.whl"),
        Digest::of(BYTES).hex(),
    );
    std::fs::write(folder.path().join("pylock.toml"), lock).unwrap();
    let uv = Uv::own("/nowhere/uv".as_ref(), bench.home.cache());
    let target = uv::Target { python: "3.11".parse().unwrap(), platform: "linux/amd64".parse().unwrap(), glibc: 36 };
    let requirements = Requirements::File("pylock.toml".into());
    let indexes = indexes(&server.url("/simple"));
    let resolution = uv.resolve(&requirements, folder.path(), &target, &indexes, &bench.http).unwrap();
    assert_eq!(resolution.packages[0].size, BYTES.len() as u64);
    assert_eq!(resolution.packages[0].reasons, ["manifest"]);
    let package = &resolution.packages[0];
    let known = resolution.urls.get(&package.path);
    fetch(package, known, &indexes, &bench.home.blobs().unwrap(), &bench.http).unwrap();
}
