#!/bin/sh
# Builds mlpack-server for images: static, so that it runs in any tree, and small. Prints the program's path.
#     sh runtimes/build-server.sh [x86_64|aarch64]
set -eu
cd "$(dirname "$0")/.."
target="${1:-$(uname -m)}-unknown-linux-gnu"
# The paths of this machine and user must not reach the program: the same sources give the same bytes.
home=${CARGO_HOME:-$HOME/.cargo}
flags="-C target-feature=+crt-static --remap-path-prefix=$PWD=/mlpack --remap-path-prefix=$home=/cargo"
RUSTFLAGS="$flags" cargo build --quiet --locked --profile image --no-default-features --features server \
    --bin mlpack-server --target "$target" --target-dir target >&2
echo "$PWD/target/$target/image/mlpack-server"
