#!/bin/sh
# Builds mlpack-server for images: static, so that it runs in any tree, and small. Prints the program's path.
#     sh runtimes/build-server.sh [x86_64|aarch64]
# For the other processor it needs `rustup target add aarch64-unknown-linux-gnu` and Debian's gcc-aarch64-linux-gnu and
# libc6-dev-arm64-cross, or x86_64-unknown-linux-gnu, gcc-x86-64-linux-gnu and libc6-dev-amd64-cross.
set -eu
cd "$(dirname "$0")/.."
architecture=${1:-$(uname -m)}
target="$architecture-unknown-linux-gnu"
if [ "$architecture" != "$(uname -m)" ]; then
    compiler="$architecture-linux-gnu-gcc"
    variable=$(echo "$target" | tr - _)
    export "CC_$variable=$compiler" "CARGO_TARGET_$(echo "$variable" | tr '[:lower:]' '[:upper:]')_LINKER=$compiler"
fi
# The paths of this machine and user must not reach the program: the same sources give the same bytes.
home=${CARGO_HOME:-$HOME/.cargo}
flags="-C target-feature=+crt-static --remap-path-prefix=$PWD=/mlpack --remap-path-prefix=$home=/cargo"
RUSTFLAGS="$flags" cargo build --quiet --locked --profile image --no-default-features --features server \
    --bin mlpack-server --target "$target" --target-dir target >&2
echo "$PWD/target/$target/image/mlpack-server"
