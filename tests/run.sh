#!/bin/sh
# Runs all tests. On a bare Debian with Rust, as root, it installs what they need from Debian's packages.
set -eu
cd "$(dirname "$0")/.."
needs="apache2-utils bubblewrap busybox-static ca-certificates chromium chromium-driver clang curl docker-registry docker.io faketime git libdpkg-perl mmdebstrap openssl podman python3 python3-apt python3-jsonschema python3-pip python3-venv qemu-user-static runc skopeo umoci valgrind"
missing=""
for package in $needs; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "the tests need these packages: apt-get install$missing" >&2
        exit 1
    fi
    apt-get -qq update
    # shellcheck disable=SC2086 # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >/dev/null
fi
MLPACK_SERVER=$(sh runtimes/build-server.sh)
export MLPACK_SERVER
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
exec cargo test --locked "$@"
