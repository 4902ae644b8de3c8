//! Workers that are forked from one process that has loaded the model.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

/// Says so when it is loaded, and then does what it is told: sleeps long enough for its neighbours to be asked, or ends.
const MODEL: &str = "
import os, random, subprocess, time
class Model:
    def __init__(self, bundle):
        print('loaded by', os.getpid())
        self.seeded = random.random()
        PREPARE
    def predict(self, rows):
        what = list(rows['what'])[0]
        if what == 'end': os._exit(3)
        if what == 'leave': print('left', subprocess.Popen(['sleep', '1000']).pid, flush=True); os._exit(3)
        if what == 'hang': print('started', subprocess.Popen(['sleep', '1000']).pid); time.sleep(1000)
        if what == 'meet': time.sleep(0.3)
        return {'pid': [os.getpid()], 'group': [os.getpgid(0)], 'random': [random.random()]}
";

fn service(prepare: &str) -> Service {
    let output = table(&[
        column("pid", "integer", json!({})),
        column("group", "integer", json!({})),
        column("random", "number", json!({})),
    ]);
    let input = table(&[column("what", "string", json!({}))]);
    Service::new(&MODEL.replace("PREPARE", prepare)).endpoint("predict", &input, &output).server("workers", json!(3))
}

fn ask(server: &Server, what: &str) -> (u16, Value) {
    server.post("/predict", &json!({"rows": [{"what": what}]}))
}

/// Waits for all workers, and returns what each says of itself.
fn meet(server: &Server) -> Vec<Value> {
    server.until(|| server.get("/readyz").1["workers"]["ready"] == 3);
    let answers = server.at_once(3, |server, _| ask(server, "meet"));
    answers
        .into_iter()
        .map(|(status, mut answer)| {
            assert_eq!(status, 200, "{answer}");
            answer["rows"][0].take()
        })
        .collect()
}

fn distinct(rows: &[Value], member: &str) -> usize {
    rows.iter().map(|row| row[member].to_string()).collect::<BTreeSet<_>>().len()
}

/// Checks how often the model was loaded; what it prints may come later than its answers.
fn assert_loaded(server: &Server, times: usize) {
    let loaded = || server.log().matches("loaded by").count();
    server.until(|| loaded() >= times);
    assert_eq!(loaded(), times);
}

fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[test]
fn several_workers_are_forked_from_one_that_is_loaded_once() {
    let server = service("pass").start();
    let workers = meet(&server);
    assert_eq!((distinct(&workers, "pid"), distinct(&workers, "random")), (3, 3), "{workers:?}");
    assert!(workers.iter().all(|worker| worker["pid"] == worker["group"]), "{workers:?}");
    for _ in 0..4 {
        assert_eq!(ask(&server, "end").1["error"]["code"], "worker_died");
        server.until(|| server.get("/readyz").0 == 200);
    }
    let later = meet(&server);
    assert!(later.iter().any(|worker| !workers.iter().any(|earlier| earlier["pid"] == worker["pid"])), "{later:?}");
    assert_loaded(&server, 1);
    assert!(server.stop().contains("exit status: 3"), "the exit of a forked worker is known");
}

#[test]
fn a_forked_worker_is_killed_with_all_that_it_started() {
    let server = service("pass").server("timeout_ms", json!(500)).start();
    assert_eq!(ask(&server, "hang").1["error"]["code"], "timeout");
    let log = server.log();
    let started: String = log.split("started ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    server.until(|| !is_running(&started));
    assert_eq!(distinct(&meet(&server), "pid"), 3);
    assert_eq!(ask(&server, "leave").1["error"]["code"], "worker_died");
    server.until(|| server.log().contains("left "));
    let log = server.log();
    let left: String = log.split("left ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    server.until(|| !is_running(&left));
}

#[test]
fn a_template_that_was_lost_is_loaded_again_when_it_is_needed() {
    let server = service("pass").start();
    meet(&server);
    let log = server.log();
    let template: String = log.split("loaded by ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    assert!(Command::new("kill").args(["-9", &template]).status().unwrap().success());
    server.until(|| !is_running(&template));
    assert_eq!(distinct(&meet(&server), "pid"), 3, "the workers outlive it");
    assert_eq!(ask(&server, "end").1["error"]["code"], "worker_died");
    meet(&server);
    assert_loaded(&server, 2);
}

#[test]
fn a_model_that_a_fork_would_break_is_loaded_by_every_worker() {
    for (prepare, reason) in [
        ("import threading; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", "1 threads"),
        ("self.file = open(__file__)", "service.py"),
        ("import socket; self.socket = socket.socket()", "socket:["),
    ] {
        let server = service(prepare).start();
        assert_eq!(distinct(&meet(&server), "pid"), 3);
        let log = server.log();
        let line = log.lines().find(|line| line.contains("every worker loads the model by itself")).unwrap();
        assert!(line.contains(reason), "{line}");
        // The first one is the template, in vain.
        assert_loaded(&server, 4);
    }
}

#[test]
fn the_contract_decides_where_it_says_so() {
    let insists = service("self.file = open(__file__)").server("preload", json!(true)).start();
    meet(&insists);
    assert_loaded(&insists, 1);
    let refuses = service("pass").server("preload", json!(false)).start();
    meet(&refuses);
    assert_loaded(&refuses, 3);
    let alone = service("pass").server("workers", json!(1)).start();
    assert_eq!(ask(&alone, "").0, 200);
    assert_loaded(&alone, 1);
    assert!(!alone.log().contains("\"worker\":0"), "one worker needs no template");
}

#[test]
fn a_template_whose_fork_is_killed_is_loaded_again() {
    let prepare = "
        killed = os.path.join(os.path.dirname(__file__), 'killed')
        def kill():
            if not os.path.exists(killed):
                open(killed, 'w').close()
                os.kill(os.getpid(), 9)
        os.register_at_fork(after_in_child=kill)
";
    let server = service(prepare).server("startup_timeout_ms", json!(300_000)).start();
    assert_eq!(distinct(&meet(&server), "pid"), 3);
    assert_loaded(&server, 2);
    assert!(server.log().contains("the worker did not answer in time"), "{}", server.log());
}
