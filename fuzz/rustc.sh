#!/bin/sh
# Stands before rustc: instruments mlpack and the targets for libFuzzer, with stable options, and no crate of others.
case " $* " in
*" --crate-name mlpack"*)
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    for option in inline-8bit-counters pc-table trace-compares; do
        set -- "$@" "-Cllvm-args=-sanitizer-coverage-$option"
    done
    ;;
esac
exec "$@"
