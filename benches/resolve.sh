#!/bin/sh
# Measures locking, indexes, ELF scans and cold builds on real packages, and prints a Markdown table.
#     sh benches/resolve.sh [FOLDER]
# FOLDER (/tmp/mlpack-resolve unless given) keeps what was fetched, some 6 GB, for the next run. It needs Rust and the network.
set -eu
cd "$(dirname "$0")/.."
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
exec cargo bench --quiet --locked --bench resolve -- "${1:-/tmp/mlpack-resolve}"
