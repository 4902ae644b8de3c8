#!/bin/sh
# Measures the memory of one and of four workers with a model of 500 MB, in Python and in R, and prints a Markdown table.
#     sh benches/memory.sh
# It needs Rust and python3, and root or user namespaces, as `mlpack serve` does.
set -eu
cd "$(dirname "$0")/.."
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
cargo build --quiet --locked --release --bin mlpack
exec python3 benches/memory.py "$PWD/target/release/mlpack"
