#!/bin/sh
# Compares mlpack's choice of Debian packages with apt's, for 2,000 random sets of 1 to 5 packages and 200 of 1 to 40, half
# of them bookworm's and half trixie's. Writes what came out, each difference included, to the file named first.
# Needs, from Debian: apt python3-apt libdpkg-perl debian-archive-keyring.
set -eu
report=$(realpath "${1:?name a file for the report}")
cd "$(dirname "$0")/.."
: >"$report"
compare() {
    MLPACK_APT_REPORT=$report MLPACK_APT_SETS=$1 MLPACK_APT_LARGEST=$2 cargo test --locked --test real -- apt::sets_of
}
compare 1000 5
compare 100 40
cat "$report"
