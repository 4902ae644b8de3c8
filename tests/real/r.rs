//! R, end to end: the example predicts as R does in process, and every type goes there and back.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::http::{client, get, post, try_get};
use crate::support::project::{example_r, many_r, tiny_r};
use crate::support::run;
use crate::support::scratch::Scratch;
use crate::support::served::Served;

/// Calls the service as its files stand in the image, with all names at once and with each alone.
const PREDICT: &str = r#"
setwd("/opt/mlpack/app")
sys.source("service.R", globalenv())
contract <- jsonlite::read_json("/opt/mlpack/service.json")
path <- function(kind) function(name) contract[[kind]][[name]]$path
state <- load(list(artifact = path("artifacts"), dataset = path("datasets")))
names <- unlist(jsonlite::read_json("/given/names.json"))
bits <- function(number) paste(rev(format(writeBin(number, raw(), endian = "little"))), collapse = "")
ask <- function(names) {
  found <- classify(state, data.frame(name = names))
  Map(list, found$label, vapply(found$probability, bits, ""))
}
alone <- lapply(names, function(name) ask(name)[[1L]])
cat(jsonlite::toJSON(list(unname(ask(names)), alone), auto_unbox = TRUE))
"#;

/// A prediction, with the probability as the bits of its number.
type Prediction = (String, String);

#[derive(Deserialize)]
struct Predictions {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    label: String,
    /// As it is written: the standard library reads it exactly.
    probability: Box<RawValue>,
}

#[test]
fn the_container_predicts_as_r_does_in_process() {
    let folder = Scratch::new();
    let podman = Engine::podman();
    let image = podman.load(&example_r().archive(&folder));

    let names = held_out();
    fs::write(folder.join("names.json"), json!(names).to_string()).unwrap();
    fs::write(folder.join("predict.R"), PREDICT).unwrap();
    let volume = format!("{}:/given:ro", folder.display());
    let printed =
        podman.output(&image, &["--volume", &volume, "--tmpfs=/tmp"], &["/usr/bin/Rscript", "/given/predict.R"]);
    let [together, alone]: [Vec<Prediction>; 2] = serde_json::from_str(&printed).unwrap();

    let container = podman.serve(&image);
    let ask = |names: &[String]| {
        let rows: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        read(&post(&format!("{}/classify", container.url), &json!({ "rows": rows })).body)
    };
    assert_eq!(ask(&names), together);
    assert_eq!(names.iter().flat_map(|name| ask(std::slice::from_ref(name))).collect::<Vec<_>>(), alone);
    let version = podman.output(&image, &[], &["/usr/bin/R", "--version"]);
    assert!(version.starts_with("R version 4.2"), "{version}");
    let left =
        r#"cat(file.exists("/usr/share/R/doc", "/usr/lib/R/site-library/Rcpp/include", "/usr/lib/R/library/base/R"))"#;
    assert_eq!(podman.output(&image, &["--tmpfs=/tmp"], &["/usr/bin/Rscript", "-e", left]), "FALSE FALSE TRUE");
}

fn held_out() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/b2x-r/data/held_out.csv");
    let text = fs::read_to_string(path).unwrap();
    // Each line is a name, in quotes where it holds a comma or quotes, and a label.
    let name = |line: &str| {
        let name = line.rsplit_once(',').unwrap().0;
        let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        quoted.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\""))
    };
    text.lines().skip(1).map(name).collect()
}

fn read(body: &str) -> Vec<Prediction> {
    let answer: Predictions = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let bits = |row: Row| (row.label, format!("{:016x}", row.probability.get().parse::<f64>().unwrap().to_bits()));
    answer.rows.into_iter().map(bits).collect()
}

/// Docker mounts nothing at `/tmp` of a read-only container.
#[test]
fn r_starts_where_only_shared_memory_can_be_written() {
    let folder = Scratch::new();
    let docker = Engine::docker();
    let container = docker.serve(&docker.load(&tiny_r().archive(&folder)));
    assert_eq!(post(&format!("{}/call", container.url), &json!({"echo": "here"})).json(), "here");
    assert_eq!(container.stop(), "0");
}

#[test]
fn models_of_many_packages_predict_and_maps_find_their_data() {
    let served = Served::start(many_r());
    assert!(many_r().lock().compilation.is_some_and(|compilation| compilation.results.contains_key("mlr")));
    let flowers = json!({"rows": [{"length": 1.4, "width": 0.2}, {"length": 6, "width": 2.3}]});
    let row = |species: &str| json!({"caret": species, "glmnet": species, "mlr": species, "recipe": species});
    assert_eq!(served.post("classify", &flowers).json()["rows"], json!([row("setosa"), row("virginica")]));
    // A line with a week in it, which the model finds again.
    let value = |day: u32| 10.0 + 0.1 * f64::from(day) + (f64::from(day) * std::f64::consts::TAU / 7.0).sin();
    let days = (1..=28).map(|day| json!({"ds": format!("2026-02-{day:02}"), "y": value(day)}));
    let forecast = served.post("forecast", &json!({"rows": days.collect::<Vec<_>>()})).json();
    let last = &forecast["rows"][27];
    assert!(last["ds"] == "2026-02-28" && (last["value"].as_f64().unwrap() - value(28)).abs() < 0.1, "{forecast}");
    // The cathedral of Vilnius. Without its data package PROJ knows no grid, and GDAL no reference system.
    let place = served.post("project", &json!({"rows": [{"lon": 25.2876, "lat": 54.6858}]})).json();
    let near = |name: &str, expected: f64| (place["rows"][0][name].as_f64().unwrap() - expected).abs() < 1.0;
    assert!(near("x", 583_022.6) && near("y", 6_061_802.2), "{place}");
    assert_eq!(place["rows"][0]["cell"], 11.0);
}

#[test]
fn every_type_goes_there_and_back() {
    let served = Served::start(tiny_r());
    let full = json!({"s": "ąž\n", "i": -1_099_511_627_776_i64, "n": 1.5, "b": true, "d": "1969-12-31",
        "t": "2023-11-14T22:13:20.123456Z", "c": "y", "sn": "", "in": -2_147_483_648_i64, "nn": 0.1, "bn": false,
        "dn": "2026-11-23", "tn": "1969-12-31T23:59:59.999999Z", "cn": "x"});
    let mut bare = full.clone();
    for name in ["sn", "in", "nn", "bn", "dn", "tn", "cn"] {
        bare[name] = Value::Null;
    }
    for rows in [json!({"rows": [full, bare]}), json!({"rows": [bare]}), json!({"rows": [full]})] {
        let answer = served.post("echo", &rows);
        assert_eq!((answer.status, answer.json()), (200, rows));
    }
    let array = json!({"tensor": [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]]]});
    assert_eq!(served.post("tensor", &array).json(), array);
    let value = json!({"a": [1, 2.5, null, "ž"], "b": {"c": true}});
    assert_eq!(served.post("call", &json!({"echo": value})).json(), value);
    for form in ["table", "tibble", "frame", "matrix", "vector", "logical", "rows"] {
        let answer = served.post("given", &json!({"rows": [{"form": form}]}));
        assert_eq!((answer.status, answer.json()), (200, json!({"rows": [{"y": 1.0}]})), "{form}");
    }
    let request = client().post(format!("{}/bytes", served.url)).header("content-type", "application/octet-stream");
    assert_eq!(&*request.body(vec![1, 0, 255]).send().unwrap().bytes().unwrap(), [255, 0, 1]);
    let huge = served.post("echo", &json!({"rows": [{"i": 9_007_199_254_740_993_i64}]}));
    assert_eq!(huge.status, 422, "{huge:?}");
}

#[test]
fn a_call_goes_through_the_services_functions_and_each_is_timed() {
    let served = Served::start(tiny_r());
    let answer = served.post("staged", &json!({"rows": [{"x": 4}, {"x": 0.25}]}));
    assert_eq!(answer.json(), json!({"rows": [{"y": "9.0"}, {"y": "1.5"}]}));
    let refused = served.post("staged", &json!({"rows": [{"x": -1}]}));
    assert_eq!((refused.status, &refused.json()["error"]["message"]), (422, &json!("too low")));
    let metrics = get(&format!("{}/metrics", served.url)).body;
    for stage in ["preprocess", "model", "postprocess"] {
        let line = format!(
            "mlpack_stage_duration_seconds_count{{endpoint=\"staged\",version=\"1.0.0\",stage=\"{stage}\"}} 1\n"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn two_workers_are_forked_from_one_that_has_loaded_the_model() {
    let project = tiny_r().copy();
    project.edit("manifest.yaml", "workers: 1", "workers: 2");
    project.edit("service.R", "  list()", "  message(\"reading the model\")\n  runif(1)\n  list()");
    let mut served = Served::launch(&project.path("manifest.yaml"), tiny_r().home());
    served.wait_until_ready();
    let tell = |served: &Served| -> Vec<Value> {
        let ask = || served.post("call", &json!({"do": "tell"}));
        let answers = std::thread::scope(|scope| [scope.spawn(ask), scope.spawn(ask)].map(|one| one.join().unwrap()));
        answers.into_iter().map(|answer| answer.json()).collect()
    };
    let url = format!("{}/readyz", served.url);
    let both = || try_get(&url).filter(|answer| answer.json()["workers"]["ready"] == 2);
    served.process.wait_until("both workers are ready", both);
    let first = tell(&served);
    assert_ne!(first[0]["pid"], first[1]["pid"]);
    assert_ne!(first[0]["random"], first[1]["random"]);
    // What a worker does at its end must not take anything from the others.
    assert_eq!(served.post("call", &json!({"do": "quit"})).json()["error"]["code"], "worker_died");
    served.process.wait_until("both workers are ready", both);
    let second = tell(&served);
    assert!(second.iter().any(|worker| !first.iter().any(|earlier| earlier["pid"] == worker["pid"])), "{second:?}");
    assert_eq!(served.process.log().matches("reading the model").count(), 1, "{}", served.process.log());
}

#[test]
fn packages_that_debian_lacks_are_named_together() {
    let project = tiny_r().copy();
    fs::remove_file(project.path("mlpack.lock")).unwrap();
    project.edit(
        "manifest.yaml",
        "packages: [data.table, tibble]",
        "packages: [\"tibble>=99\", Tibble, nosuchpackage]",
    );
    let output = run(&mut project.command(tiny_r().home(), "lock"));
    output.expect_error(
        4,
        &[
            "`Tibble`, which the manifest asks for: the package is called `tibble`",
            "`nosuchpackage`, which the manifest asks for: the release has no such package",
            "`tibble (>= 99)`, which the manifest asks for: the release has ",
        ],
    );
}

#[test]
fn a_description_and_a_lock_of_renv_are_read() {
    let description = "Package: served\nVersion: 1\nDepends: R (>= 4.2)\nImports:\n    tibble (>= 3.0)\n";
    let renv =
        r#"{"R": {"Version": "4.2.2"}, "Packages": {"mine": {"Package": "mine", "Version": "1", "Source": "Local"}}}"#;
    let project = tiny_r().copy();
    project.write("DESCRIPTION", description);
    project.write("renv.lock", renv);
    project.edit("manifest.yaml", "packages: [data.table, tibble]", "packages: DESCRIPTION");
    fs::remove_file(project.path("mlpack.lock")).unwrap();
    let lock = |project: &crate::support::project::Project| run(&mut project.command(tiny_r().home(), "lock"));
    assert_eq!(lock(&project).code, 0);
    assert!(project.read("mlpack.lock").contains("name = \"r-cran-tibble\""));
    fs::remove_file(project.path("mlpack.lock")).unwrap();
    project.edit("manifest.yaml", "packages: DESCRIPTION", "packages: renv.lock");
    lock(&project).expect_error(
        4,
        &["`mine (== 1)`", "it is from Local: only a repository of yours that has this version can give it"],
    );
}

#[test]
fn no_x_and_nothing_that_only_compilers_need_is_chosen() {
    let lock = example_r().lock();
    let names: Vec<_> = lock.packages.iter().map(|package| &*package.name).collect();
    for name in ["libx11-6", "libtcl8.6", "libcairo2", "r-cran-rcppeigen", "r-base-dev", "gcc"] {
        assert!(!names.contains(&name), "{name}");
    }
    let blas = lock.libraries.iter().find(|library| library.soname == "libblas.so.3").unwrap();
    assert_eq!(blas.provider, "deb:libblas3");
}
