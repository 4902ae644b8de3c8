//! The short form of `benches/robust.sh`: overload, killed workers, idle connections, hostile requests, many rows, leaks.
//! Whether an answer was wrong or a request hung decides; times do not. It is a program of its own, so that it disturbs no other test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

fn stress(cases: &[&str]) {
    let program = env!("CARGO_BIN_EXE_mlpack-server");
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/robust/run.py"))
        .args(["--seconds", "3", "--requests", "3000", "--rows", "300000", "--connections", "500"])
        .args(["--debug-program", program])
        .args(cases)
        .env("MLPACK_SERVER", program)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn overload_and_killed_workers_get_right_answers_or_clear_refusals() {
    stress(&["overload", "killing"]);
}

#[test]
fn idle_and_hostile_clients_hurt_no_neighbour() {
    stress(&["idle", "hostile"]);
}

#[test]
fn many_rows_leave_nothing_behind() {
    stress(&["soak", "leaks"]);
}
