//! `mlpack serve`: the image's own server here, as root and as an ordinary user, followed through edits and crashes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::configure;
use crate::support::http::{Answer, client, get, post, try_get, try_post};
use crate::support::process::{Running, free_port, wait_until};
use crate::support::project::{Project, example, tiny};
use crate::support::scratch::{Scratch, copy};

/// A generous bound for a reload; the goal is a second.
const RELOAD: Duration = Duration::from_secs(20);

struct Served {
    process: Running,
    url: String,
}

impl Served {
    fn start(project: &Project, home: &Path, options: &[&str]) -> Self {
        let port = free_port();
        let mut command = project.command(home, "serve");
        Self::run(command.args(["--offline", "--port", &port.to_string()]).args(options), port)
    }

    fn run(command: &Command, port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        let mut process = Running::start(command);
        process.wait_until("the server is ready", || {
            try_get(&format!("{url}/readyz")).filter(|answer| answer.status == 200)
        });
        Self { process, url }
    }

    fn call(&self, value: &Value) -> Answer {
        post(&format!("{}/call", self.url), value)
    }

    /// Waits until the endpoint answers so, and returns how long that took.
    fn wait_for(&self, endpoint: &str, request: &Value, expected: impl Fn(&Value) -> bool) -> Duration {
        let (begin, client, url) = (Instant::now(), client(), format!("{}/{endpoint}", self.url));
        wait_until(&format!("the change is served; log:\n{}", self.process.log()), || {
            let answer = try_post(&client, &url, request).filter(|answer| answer.status == 200)?;
            expected(&answer.json()).then_some(())
        });
        begin.elapsed()
    }
}

#[test]
fn the_example_answers_and_follows_edits() {
    let project = example().copy();
    let served = Served::start(&project, example().home(), &["--watch"]);
    let document = get(&format!("{}/openapi.json", served.url));
    assert!(document.json()["paths"]["/classify"]["post"].is_object(), "{document:?}");
    assert_eq!(get(&format!("{}/docs", served.url)).status, 200);
    let rows = json!({"rows": [{"name": "UAB Baltijos Prekyba"}]});
    let label = |answer: &Value| answer["rows"][0]["label"].clone();
    assert_eq!(label(&post(&format!("{}/classify", served.url), &rows).json()), "B2B");
    project.edit("service.py", "list(self.model.classes_)", "list(self.model.classes_)[::-1]");
    let elapsed = served.wait_for("classify", &rows, |answer| label(answer) == "B2C");
    eprintln!("an edit of the example's service.py is served after {} ms", elapsed.as_millis());
    assert!(elapsed < RELOAD, "{elapsed:?}");
}

#[test]
fn artifacts_are_followed_and_a_mistake_is_told() {
    let project = tiny().copy();
    let mut served = Served::start(&project, tiny().home(), &["--watch"]);
    assert_eq!(served.call(&json!(21)).json(), 42);
    project.write("factor.txt", "3\n");
    let elapsed = served.wait_for("call", &json!(21), |answer| answer == 63);
    eprintln!("a change of an artifact is served after {} ms", elapsed.as_millis());
    assert!(elapsed < RELOAD, "{elapsed:?}");
    let service = project.read("service.py");
    project.write("service.py", "class Service(:\n");
    served.process.wait_for_log("SyntaxError");
    project.write("service.py", &service.replace("value * self.factor", "[value, self.factor]"));
    served.wait_for("call", &json!(21), |answer| *answer == json!([21, 3]));
    project.edit("manifest.yaml", "name: tiny", "nme: tiny");
    served.process.wait_for_log("did you mean `name`?");
    assert_eq!(served.call(&json!(21)).json(), json!([21, 3]), "the server before the mistake goes on");
}

#[test]
fn prints_are_logged_and_ctrl_c_leaves_nothing_running() {
    let mut served = Served::start(&tiny().copy(), tiny().home(), &[]);
    assert_eq!(served.call(&json!(4)).json(), 8);
    served.process.wait_for_log("called with 4");
    let family = descendants(served.process.pid());
    assert!(family.len() >= 2, "the server and its worker: {family:?}");
    served.process.signal(Signal::SIGINT);
    assert!(served.process.wait().success(), "{}", served.process.log());
    wait_until("all processes are gone", || family.iter().all(|&pid| !is_running(pid)).then_some(()));
    assert!(try_get(&format!("{}/livez", served.url)).is_none());
}

#[test]
fn variables_are_passed_to_the_server() {
    let options = ["-e", "MLPACK_API_KEYS=me:0123456789abcdef", "--env", "MLPACK_WORKERS=2"];
    let served = Served::start(&tiny().copy(), tiny().home(), &options);
    assert_eq!(served.call(&json!(4)).status, 401);
    let call = client().post(format!("{}/call", served.url)).header("content-type", "application/json");
    assert_eq!(call.bearer_auth("0123456789abcdef").body("4").send().unwrap().status(), 200);
    wait_until("both workers are ready", || {
        let ready = get(&format!("{}/readyz", served.url)).json();
        (ready["workers"] == json!({"ready": 2, "total": 2})).then_some(())
    });
}

#[test]
fn a_worker_that_crashes_or_hangs_is_replaced() {
    let served = Served::start(&tiny().copy(), tiny().home(), &[]);
    for (value, status, code) in [("crash", 500, "worker_died"), ("hang", 504, "timeout")] {
        let answer = served.call(&json!(value));
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &json!(code)), "{answer:?}");
        served.wait_for("call", &json!(4), |answer| answer == 8);
    }
}

#[test]
fn an_ordinary_user_serves_too() {
    let place = Scratch::open_to_all();
    let (home, project) = (place.join("home"), place.join("project"));
    copy(&tiny().fresh_home(), &home);
    copy(tiny().copy().folder(), &project);
    fs::copy(env!("CARGO_BIN_EXE_mlpack"), place.join("mlpack")).unwrap();
    fs::copy(crate::support::project::server(), place.join("server")).unwrap();
    crate::support::succeed(Command::new("chown").args(["-R", "65534:65534"]).arg(&*place));
    let port = free_port();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(place.join("mlpack"));
    configure(&mut command, &home);
    command.env("MLPACK_SERVER", place.join("server")).env("HOME", &*place);
    command.arg("serve").arg(project.join("manifest.yaml")).args(["--offline", "--port", &port.to_string()]);
    let served = Served::run(&command, port);
    assert_eq!(served.call(&json!(21)).json(), 42);
}

/// Returns all processes that a process started, and those that they started.
fn descendants(root: Pid) -> BTreeSet<i32> {
    let mut family = BTreeSet::from([root.as_raw()]);
    loop {
        let children = processes().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| pid);
        let grown: BTreeSet<_> = children.chain(family.iter().copied()).collect();
        if grown.len() == family.len() {
            family.remove(&root.as_raw());
            return family;
        }
        family = grown;
    }
}

/// Each process with its parent.
fn processes() -> impl Iterator<Item = (i32, i32)> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, in parentheses, may hold anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
}

fn is_running(pid: i32) -> bool {
    processes().any(|(running, _)| running == pid)
}
