#!/bin/sh
# Measures the main job on the example (building, pushing, serving) and prints a Markdown table.
#     sh benches/image.sh [--runs N] [--folder DIR]
# It needs Rust, python3 and docker-registry (`apt-get install docker-registry`), and about 15 GB of free disk space.
set -eu
cd "$(dirname "$0")/.."
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
cargo build --quiet --locked --release --bin mlpack
exec python3 benches/image.py "$PWD/target/release/mlpack" "$@"
