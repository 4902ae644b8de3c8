#!/bin/sh
# Turns the .proto files beside this one into the descriptors that reflection serves. Needs Python's grpcio-tools; the results are
# committed, so that a build needs no compiler of protocol buffers.
#     sh src/server/protocol/grpc/describe.sh [PYTHON]
set -eu
cd "$(dirname "$0")"
for name in inference health; do
    "${1:-python3}" -m grpc_tools.protoc -I. --descriptor_set_out="$name.pb" "$name.proto"
done
