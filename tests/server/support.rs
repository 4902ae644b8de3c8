//! Writes a service, starts the real server on it, and speaks HTTP to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mlpack-server");
/// Far longer than anything takes; a test that waits as long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A table of the columns.
pub(crate) fn table(columns: &[Value]) -> Value {
    json!({"type": "table", "columns": columns})
}

/// A column with everything left out that `more` does not say.
pub(crate) fn column(name: &str, kind: &str, more: Value) -> Value {
    let mut column = json!({"name": name, "type": kind, "nullable": false, "example": null,
        "description": "", "enum": [], "minimum": null, "maximum": null, "max_length": null});
    let Value::Object(mut more) = more else { panic!("columns have members") };
    column.as_object_mut().unwrap().append(&mut more);
    column
}

/// A service to be started.
pub(crate) struct Service {
    folder: TempDir,
    contract: Value,
    environment: Vec<(&'static str, String)>,
}

impl Service {
    /// A service of this Python code, with the class `Model`, and one worker.
    pub(crate) fn new(code: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("service.py");
        std::fs::write(&file, code).unwrap();
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes/python/worker.py");
        let contract = json!({
            "name": "test", "version": "1", "description": "", "license": "MIT", "artifacts": {}, "datasets": {},
            "worker": {"language": "python", "command": ["python3", worker], "environment": {}, "file": file, "entry": "Model"},
            "endpoints": {},
            "server": {"workers": 1, "timeout_ms": 30_000, "max_batch_rows": 64, "max_body_bytes": 16 << 20,
                "max_queue": 1024, "grace_ms": 25_000, "startup_timeout_ms": 30_000},
        });
        Self { folder, contract, environment: Vec::new() }
    }

    pub(crate) fn endpoint(mut self, name: &str, input: &Value, output: &Value) -> Self {
        self.contract["endpoints"][name] =
            json!({"description": "", "task": "custom", "input": input, "output": output, "batch": false});
        self
    }

    /// Lets all endpoints be merged by row.
    pub(crate) fn batch(mut self) -> Self {
        for endpoint in self.contract["endpoints"].as_object_mut().unwrap().values_mut() {
            endpoint["batch"] = json!(true);
        }
        self
    }

    /// Sets a member of an endpoint's contract.
    pub(crate) fn set(mut self, endpoint: &str, member: &str, value: Value) -> Self {
        self.contract["endpoints"][endpoint][member] = value;
        self
    }

    pub(crate) fn server(mut self, setting: &str, value: Value) -> Self {
        self.contract["server"][setting] = value;
        self
    }

    /// Says how the worker is started.
    pub(crate) fn worker(mut self, member: &str, value: Value) -> Self {
        self.contract["worker"][member] = value;
        self
    }

    /// Says what task an endpoint has.
    pub(crate) fn task(mut self, endpoint: &str, task: &str) -> Self {
        self.contract["endpoints"][endpoint]["task"] = json!(task);
        self
    }

    /// Says what happens to answers of an endpoint that do not fit.
    pub(crate) fn validate_output(mut self, endpoint: &str, what: &str) -> Self {
        self.contract["endpoints"][endpoint]["validate_output"] = json!(what);
        self
    }

    /// Gives the model these versions, lowest first: each a name, labels, and what stands in its artifact `model`.
    pub(crate) fn versions(mut self, versions: &[(&str, &[&str], &str)]) -> Self {
        let version = |(name, labels, text): &(&str, &[&str], &str)| {
            let path = self.folder.path().join(format!("model-{name}"));
            std::fs::write(&path, text).unwrap();
            let model = json!({"path": path, "size": text.len(), "digest": format!("sha256:{}", "0".repeat(64)),
                "license": null, "description": null});
            json!({"version": name, "labels": labels, "artifacts": {"model": model}})
        };
        let mut versions: Vec<Value> = versions.iter().map(version).collect();
        let Some(Value::Object(mut latest)) = versions.pop() else { panic!("there is a version") };
        self.contract.as_object_mut().unwrap().append(&mut latest);
        self.contract["earlier"] = json!(versions);
        self
    }

    /// Sets a variable of the server's environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Writes a file beside the service, and names it in a variable of the server's environment.
    pub(crate) fn file(self, variable: &'static str, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        self.env(variable, path.to_str().unwrap())
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let server = self.launch();
        server.until(|| server.get("/readyz").0 == 200);
        server
    }

    fn command(&self) -> Command {
        let file = self.folder.path().join("service.json");
        std::fs::write(&file, self.contract.to_string()).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--service"])
            .arg(&file)
            .env("MLPACK_LOG", "debug")
            .envs(self.environment.clone())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a server that cannot start; returns its log.
    pub(crate) fn fails(self) -> String {
        let output = self.command().output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn launch(self) -> Server {
        let mut child = self.command().spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = child.stderr.take().unwrap();
        let lines = Arc::clone(&log);
        thread::spawn(move || {
            let mut block = vec![0; 65_536];
            while let Ok(length @ 1..) = stderr.read(&mut block) {
                lines.lock().unwrap().extend_from_slice(&block[..length]);
            }
        });
        let mut server =
            Server { folder: self.folder, environment: self.environment, child: Mutex::new(child), log, port: 0 };
        server.until(|| server.find_port().is_some());
        server.port = server.find_port().unwrap();
        server
    }
}

/// A running server; it is killed when dropped.
pub(crate) struct Server {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<u8>>>,
    pub(crate) port: u16,
}

impl Server {
    fn find_port(&self) -> Option<u16> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("\"listening\""))?;
        let line: Value = serde_json::from_str(line).ok()?;
        line["address"].as_str()?.rsplit(':').next()?.parse().ok()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Waits until something holds; fails after a minute.
    pub(crate) fn until(&self, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "it never came to that:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.exchange("GET", path, "", b"", &[]);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_as(path, "application/json", body.to_string().as_bytes(), &[])
    }

    pub(crate) fn post_as(&self, path: &str, media_type: &str, body: &[u8], headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, _, body) = self.exchange("POST", path, media_type, body, headers);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Sends a request on a connection of its own; returns the status, the head in lower case, and the body.
    pub(crate) fn exchange(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> (u16, String, Vec<u8>) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        let media_type = Some(("content-type", media_type)).filter(|(_, media_type)| !media_type.is_empty());
        for (name, value) in headers.iter().copied().chain(media_type) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(b"\r\n").unwrap();
        // A server may answer and close before it has read a body that is too large.
        let _ = connection.write_all(body);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        let end =
            answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}"));
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    /// Makes `count` calls at the same time; the answers are in order.
    pub(crate) fn at_once<T: Send>(&self, count: usize, call: impl Fn(&Self, usize) -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let calls: Vec<_> = (0..count)
                .map(|number| {
                    scope.spawn({
                        let call = &call;
                        move || call(self, number)
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    }

    /// Returns the path of a file beside the service.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open_gate(&self) {
        std::fs::write(self.folder.path().join("gate"), "").unwrap();
    }

    pub(crate) fn healthcheck(&self) -> bool {
        let port = self.port.to_string();
        let mut command = Command::new(PROGRAM);
        command.args(["healthcheck", "--port", &port]).envs(self.environment.clone()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// Returns the most memory that the server's own process has ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.lock().unwrap().id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
        peak.trim().parse::<u64>().unwrap() << 10
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(&self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the server and returns all of its log.
    pub(crate) fn stop(self) -> String {
        self.terminate();
        assert!(self.wait().success());
        self.until(|| self.log().contains("\"stopped\""));
        self.log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
