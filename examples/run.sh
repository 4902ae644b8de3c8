#!/bin/sh
# The main job on the real example: builds mlpack, builds the image of examples/b2x-python, and serves it on port 8080
# until Ctrl-C. Options go to `mlpack serve`.
set -eu
cd "$(dirname "$0")/.."
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
cargo build --quiet --locked --target-dir target --release --bin mlpack
target/release/mlpack build examples/b2x-python/manifest.yaml
exec target/release/mlpack serve examples/b2x-python/manifest.yaml "$@"
