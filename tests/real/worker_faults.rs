//! Services that do wrong, in Python and in R alike: each fault gives its client a clear error and the log its reason, and the
//! server lives.

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::http::{get, post};
use crate::support::project::{Prepared, faulty_python, tiny_r};
use crate::support::scratch::Scratch;
use crate::support::served::Served;

/// What a language calls things in its log.
struct Language {
    service: &'static Prepared,
    /// What `call` does wrong that is an error of the language, and what the log says of it.
    errors: [(&'static str, &'static str); 3],
    /// The same of results of `wrong` that are not what the endpoint gives.
    results: [(&'static str, &'static str); 5],
    /// Edits of the service file with which it cannot be loaded, and what the log says of it.
    loading: [(&'static str, &'static str, &'static str); 5],
    /// The file.
    file: &'static str,
}

fn python() -> Language {
    Language {
        service: faulty_python(),
        errors: [
            ("fail", "TypeError: can only concatenate str"),
            ("allocate", "MemoryError"),
            ("missing", "No module named 'notthere'"),
        ],
        results: [
            ("rows", "the model gave 3 rows for 1"),
            ("columns", "the columns must be y, not z"),
            ("missing", "column `y` has a missing value in row 1"),
            ("type", "column `y` has a value that is no number"),
            ("frame", "a table with the columns y was expected, not str"),
        ],
        file: "service.py",
        loading: [
            (
                "self.kept = []",
                "import notthere",
                "the module `notthere` is not in the image: name its package in `runtime.packages`, or, if it is a file of yours, in `code`",
            ),
            ("self.kept = []", "bundle.artifact(\"model\")", "there is no artifact `model`"),
            ("def call(self, value):", "def call(self value):", "SyntaxError: invalid syntax"),
            ("def wrong(", "def other(", "the class `Service` has no function `wrong`"),
            ("self.kept = []", "sys.exit(5)", "the worker ended by itself: exit status: 5"),
        ],
    }
}

fn r() -> Language {
    Language {
        service: tiny_r(),
        errors: [
            ("fail", "non-numeric argument to mathematical function in `log(\\\"a\\\")`"),
            ("allocate", "cannot allocate"),
            ("missing", "the R package `notthere` is not in the image"),
        ],
        results: [
            ("rows", "the model gave 3 rows for 1"),
            ("columns", "the columns must be `y`, not `z`"),
            ("missing", "column `y` has a missing value in row 1"),
            ("type", "column `y` must be of type number, not `character`"),
            ("frame", "column `y` must be of type number, not `character`"),
        ],
        file: "service.R",
        loading: [
            (
                "  list()",
                "  library(notthere)",
                "the R package `notthere` is not in the image: name it in `runtime.packages`",
            ),
            ("  list()", "  bundle$artifact(\"model\")", "there is no artifact `model`"),
            ("call <- function(state, value) {", "call <- function(state value) {", "unexpected symbol"),
            ("wrong <- function", "other <- function", "the service file has no function `wrong`"),
            ("  list()", "  quit(\"no\", 5)", "the worker ended by itself: exit status: 5"),
        ],
    }
}

/// Calls the service, and returns the status and the error's code.
fn fault(served: &Served, endpoint: &str, what: &str) -> (u16, String) {
    let value = if endpoint == "call" { json!({"do": what}) } else { json!({"rows": [{"what": what}]}) };
    let answer = served.post(endpoint, &value);
    let code = answer.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{what}: {answer:?}")).to_owned();
    (answer.status, code)
}

fn assert_works(served: &Served) {
    assert_eq!(served.post("call", &json!({"echo": 4})).json(), 4);
}

#[test]
fn errors_and_wrong_results_are_told_apart_and_only_logged_in_full() {
    for language in [python(), r()] {
        let mut served = Served::start(language.service);
        let refused = served.post("call", &json!({"do": "refuse"}));
        assert_eq!((refused.status, &refused.json()["error"]["message"]), (422, &json!("too young")));
        for (what, said) in language.errors {
            let answer = served.post("call", &json!({"do": what}));
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (500, &json!("model_failed")), "{answer:?}");
            assert!(!answer.body.contains(said), "{answer:?}");
            served.process.wait_for_log(said);
        }
        // The calls that led to an error are in the log.
        served.process.wait_for_log("inner(");
        for (what, said) in language.results {
            assert_eq!(fault(&served, "wrong", what), (500, "invalid_output".to_owned()), "{what}");
            served.process.wait_for_log(said);
        }
        assert_works(&served);
    }
}

#[test]
fn workers_that_end_or_hang_are_replaced_and_prints_are_only_logged() {
    for language in [python(), r()] {
        let mut served = Served::start(language.service);
        assert_eq!(served.post("call", &json!({"do": "print"})).json(), "printed");
        served.process.wait_for_log("the last line");
        for (what, status, code, said) in [
            ("quit", 500, "worker_died", "exit status: 3"),
            ("die", 500, "worker_died", "signal: 9"),
            ("crash", 500, "worker_died", "signal: 11"),
            ("intrude", 500, "worker_died", "the worker announced a reply of"),
            ("hang", 504, "timeout", "the worker did not answer in time"),
            ("compute", 504, "timeout", "the worker did not answer in time"),
        ] {
            assert_eq!(fault(&served, "call", what), (status, code.to_owned()), "{what}");
            served.process.wait_for_log(said);
            served.wait_until_ready();
            assert_works(&served);
        }
    }
}

#[test]
fn services_that_cannot_be_loaded_say_why_and_the_server_lives() {
    for language in [python(), r()] {
        for (from, to, said) in language.loading {
            let project = language.service.copy();
            project.edit(language.file, from, to);
            let mut served = Served::launch(&project.path("manifest.yaml"), language.service.home());
            served.process.wait_for_log(said);
            assert_eq!(get(&format!("{}/readyz", served.url)).status, 503);
            assert_eq!(get(&format!("{}/livez", served.url)).status, 200);
        }
    }
}

/// In a container the kernel ends what takes more than there is: that must be the worker.
#[test]
fn a_worker_that_takes_all_memory_is_replaced() {
    for language in [python(), r()] {
        let (folder, podman) = (Scratch::new(), Engine::podman());
        let image = podman.load(&language.service.archive(&folder));
        let container = podman.serve_with(&image, &["--memory=400m", "--memory-swap=400m"]);
        let call = |value| post(&format!("{}/call", container.url), &value);
        for _ in 0..2 {
            let answer = call(json!({"do": "devour"}));
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (500, &json!("worker_died")), "{answer:?}");
            container.wait_until_ready();
            assert_eq!(call(json!({"echo": 4})).json(), 4);
        }
        assert!(container.logs().contains("signal: 9"), "{}", container.logs());
        assert_eq!(container.stop(), "0");
    }
}
