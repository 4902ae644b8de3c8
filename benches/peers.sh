#!/bin/sh
# Serves the same models with mlpack and with its peers, one worker each, and writes benches/peers.md.
#     sh benches/peers.sh [--seconds 5] [--rounds 3] [--only NAME]... [--output FILE]
# On Debian with Rust, as root, it installs wrk, R and plumber; pip brings the others, each into a virtual environment of
# its own below target/peers. Loads go to the loopback device. With the defaults it takes about 25 minutes.
set -eu
cd "$(dirname "$0")/.."
missing=""
for package in python3-venv r-base-core r-cran-plumber wrk; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >&2
fi
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
cargo build --quiet --locked --release --bin mlpack
exec python3 benches/peers/run.py "$PWD/target/release/mlpack" "$@"
