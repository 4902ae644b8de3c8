#!/bin/sh
# Runs the parsers' fuzz targets with libFuzzer, one after the other, and fails at the first crash.
#     sh fuzz/run.sh [SECONDS FOR EACH] [TARGET...]
# Needs clang or g++ for libFuzzer itself, and no nightly compiler. Crashing inputs and what was
# found lie in target/fuzz.
set -eu
cd "$(dirname "$0")"
seconds="${1:-600}"
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- deb822 version relation ar tar elf contents inrelease release packages json-schema pattern
# The versions that mlpack itself has, so that what is compiled of them serves here too.
cp ../Cargo.lock .
RUSTC_WRAPPER="$PWD/rustc.sh" cargo build --quiet --target-dir ../target
for target in "$@"; do
    corpus="../target/fuzz/$target"
    mkdir -p "$corpus"
    echo "== $target, $seconds s"
    MLPACK_FUZZ_TARGET="$target" MLPACK_FUZZ_SEEDS="$corpus" ../target/debug/mlpack-fuzz \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$corpus/" "$corpus" 2>&1 | grep -E "stat::(number_of|new_units|peak)|ERROR|panicked|Test unit|crash" || true
    [ -z "$(find "$corpus" -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*')" ] || exit 1
done
