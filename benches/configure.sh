#!/bin/sh
# Compares each of the sets in tests/real/systems.toml, on both suites, with a system that mmdebstrap installs, and writes a
# line for each to the file named first; SETS, separated by commas, chooses some of them.
#     sh benches/configure.sh REPORT [SETS]
# Needs root or user namespaces, and from Debian: mmdebstrap apt debian-archive-keyring. A set takes half a minute or two.
set -eu
report=$(realpath "${1:?name a file for the report}")
cd "$(dirname "$0")/.."
printf '%s\n' '| suite | set | packages | their paths | paths of no package | made | left out |' '|---|---|---|---|---|---|---|' >"$report"
MLPACK_SYSTEMS=${2:-all} MLPACK_SYSTEMS_REPORT=$report cargo test --locked --test real -- configure::each_by_itself
cat "$report"
