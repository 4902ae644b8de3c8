#!/bin/sh
# Compares ways to merge requests under a latency objective in a simulation; prints a table, the same on every machine.
set -eu
cd "$(dirname "$0")/.."
exec cargo bench --locked --quiet --profile dev --bench batching
