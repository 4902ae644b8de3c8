//! `mlpack call` against the real server: files in, files out, in order, with mistakes told by row.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Server, Service, column, table};
use crate::support::scratch::Scratch;
use crate::support::{Output, mlpack, run};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def grow(self, rows):
        days = [None if day is None else day for day in rows['day']]
        return {'name': rows['name'], 'next': [age + 1 for age in rows['age']], 'day': days}
    def double(self, x): return [[value * 2 for value in row] for row in x]
    def shout(self, text): return text.upper()
";

fn server(queue: u32) -> Server {
    let (name, age) = (column("name", "string", json!({})), column("age", "integer", json!({"maximum": 150})));
    let (next, day) = (column("next", "integer", json!({})), column("day", "date", json!({"nullable": true})));
    let tensor = json!({"type": "tensor", "dtype": "float64", "shape": [null, 2]});
    let text = json!({"type": "text"});
    Service::new(CODE)
        .endpoint("grow", &table(&[name.clone(), age, day.clone()]), &table(&[name, next, day]))
        .endpoint("double", &tensor, &tensor)
        .endpoint("shout", &text, &text)
        .server("max_queue", json!(queue))
        .start()
}

/// Runs `mlpack call` on the service.
fn call(server: &Server, folder: &Scratch, arguments: &[&str]) -> Output {
    run(command(server, folder).args(arguments))
}

fn command(server: &Server, folder: &Scratch) -> Command {
    let mut command = mlpack(folder);
    command.current_dir(folder.as_os_str()).args(["call", &format!("http://127.0.0.1:{}", server.port)]);
    command
}

#[test]
fn a_csv_file_comes_back_in_order_with_its_types() {
    let (server, folder) = (server(1024), Scratch::new());
    let rows: Vec<String> =
        (0..1000).map(|row| format!("\"n, {row}\",{}.0,{}", row % 100, ["", "2026-01-31"][row % 2])).collect();
    fs::write(folder.join("rows.csv"), format!("name,age,day\n{}\n", rows.join("\n"))).unwrap();
    let arguments = ["--endpoint", "grow", "--input", "rows.csv", "--rows", "7", "--concurrency", "8", "-o", "out.csv"];
    let output = call(&server, &folder, &arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("Called `grow`; rows: 1000, requests: 143"), "{}", output.stderr);
    assert_eq!(output.stdout, "");
    let written = fs::read_to_string(folder.join("out.csv")).unwrap();
    let expected: Vec<String> =
        (0..1000).map(|row| format!("\"n, {row}\",{},{}", row % 100 + 1, ["", "2026-01-31"][row % 2])).collect();
    assert_eq!(written, format!("name,next,day\n{}\n", expected.join("\n")));
}

#[test]
fn json_tensors_and_texts_go_through_pipes() {
    let (server, folder) = (server(1024), Scratch::new());
    let cases = [
        ("grow", r#"{"name": "a", "age": 1, "day": null}"#, "[\n{\"day\":null,\"name\":\"a\",\"next\":2}\n]\n"),
        ("double", "1,2\n3,4.5\n", "[\n[2.0,4.0],\n[6.0,9.0]\n]\n"),
        ("shout", "so it goes", "SO IT GOES\n"),
    ];
    for (endpoint, input, expected) in cases {
        fs::write(folder.join("input"), input).unwrap();
        let mut command = command(&server, &folder);
        command.args(["--endpoint", endpoint, "--input", "-"]).stdin(fs::File::open(folder.join("input")).unwrap());
        let output = run(&mut command);
        assert_eq!((output.code, output.stdout.as_str()), (0, expected), "{}", output.stderr);
    }
}

#[test]
fn a_row_that_is_refused_is_named() {
    let (server, folder) = (server(1024), Scratch::new());
    fs::write(folder.join("old.csv"), "name,age,day\na,1,\nb,2,\nc,3,\nd,200,\n").unwrap();
    let output = call(&server, &folder, &["-e", "grow", "-i", "old.csv", "--rows", "3", "-o", "out.csv"]);
    output.expect_error(1, &["row 4: ", "row 4 (/rows/0/age) must be at most 150"]);
    assert!(!folder.join("out.csv").exists(), "a part of the answers looks like all of them");
    fs::write(folder.join("odd.csv"), "name,age,day\na,x,\n").unwrap();
    let output = call(&server, &folder, &["-e", "grow", "-i", "odd.csv"]);
    output.expect_error(1, &["odd.csv, line 2 (row 1): column `age`: `x` is not a whole number"]);
}

#[test]
fn a_busy_service_is_tried_again_and_a_wrong_address_is_told() {
    let (server, folder) = (server(1), Scratch::new());
    fs::write(folder.join("rows.csv"), format!("name,age,day\n{}", "a,1,\n".repeat(12))).unwrap();
    let output = call(&server, &folder, &["-e", "grow", "-i", "rows.csv", "--rows", "1", "--concurrency", "4"]);
    assert_eq!((output.code, output.stdout.lines().count()), (0, 13), "{}", output.stderr);
    call(&server, &folder, &["-i", "rows.csv"]).expect_error(2, &["several endpoints", "double, grow, shout"]);
    let nowhere =
        run(mlpack(&folder).args(["call", "http://127.0.0.1:9", "-i", "rows.csv"]).current_dir(folder.as_os_str()));
    nowhere.expect_error(6, &["http://127.0.0.1:9/openapi.json has no OpenAPI document"]);
}

#[test]
fn the_result_can_be_read_by_programs() {
    let (server, folder) = (server(1024), Scratch::new());
    fs::write(folder.join("rows.csv"), "name,age,day\na,1,\n").unwrap();
    let output = call(&server, &folder, &["-e", "grow", "-i", "rows.csv", "-o", "out.json", "--json"]);
    let last: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        last["result"],
        json!({"endpoint": "grow", "rows": 1, "requests": 1, "fallbacks": 0, "output": "out.json"})
    );
    let answers: Value = serde_json::from_str(&fs::read_to_string(folder.join("out.json")).unwrap()).unwrap();
    assert_eq!(answers, json!([{"name": "a", "next": 2, "day": null}]));
    call(&server, &folder, &["-e", "grow", "-i", "rows.csv", "--json"]).expect_error(2, &["give `--output`"]);
}
