#!/bin/sh
# Puts mlpack-server under all kinds of stress on this machine, and prints what it did.
#     sh benches/robust.sh [--seconds 60] [--requests 100000] [--rows 24000000] [--connections 10000] [CASE…]
set -eu
cd "$(dirname "$0")/.."
MLPACK_SERVER=${MLPACK_SERVER:-$(sh runtimes/build-server.sh)}
export MLPACK_SERVER
exec python3 benches/robust/run.py "$@"
