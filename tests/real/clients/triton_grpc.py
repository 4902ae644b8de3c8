"""Triton's gRPC client, and gRPC's health and reflection clients, against a running server: `triton_grpc.py PORT`."""

import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from tritonclient.utils import InferenceServerException

address = f"localhost:{sys.argv[1]}"
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("test")
assert "classification" in client.get_server_metadata().extensions
metadata = client.get_model_metadata("test", "1")
assert [tensor.name for tensor in metadata.inputs] == ["a", "b"], metadata
assert {model.name for model in client.get_model_repository_index().models} == {"test", "predict", "halve"}


def tensor(name, array, datatype):
    value = triton.InferInput(name, list(array.shape), datatype)
    value.set_data_from_numpy(array)
    return value


columns = [tensor("a", np.array([1.0, 20.0]), "FP64"), tensor("b", np.array([2, 3], dtype=np.int32), "INT32")]
outputs = [triton.InferRequestedOutput("total"), triton.InferRequestedOutput("label")]
result = client.infer("test", columns, outputs=outputs, request_id="7")
assert result.get_response().id == "7"
assert result.as_numpy("total").tolist() == [3.0, 23.0]
assert result.as_numpy("label").tolist() == [b"low", b"high"]
best = client.infer("test", columns, outputs=[triton.InferRequestedOutput("label", class_count=1)])
assert best.as_numpy("label").tolist() == [[b"3:0:low"], [b"23:1:high"]], best.as_numpy("label")

large = np.random.default_rng(0).random((100_000, 3), dtype=np.float32)
assert np.array_equal(client.infer("halve", [tensor("x", large, "FP32")]).as_numpy("output"), large / 2)

try:
    client.infer("test", [tensor("nobody", np.array([1.0]), "FP64")])
    raise AssertionError("an unknown input was taken")
except InferenceServerException as error:
    assert error.status() == "StatusCode.INVALID_ARGUMENT" and "/inputs/0/name" in error.message(), error

with grpc.insecure_channel(address) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(service="test"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    reflected = ProtoReflectionDescriptorDatabase(channel)
    services = set(reflected.get_services())
    assert services == {"inference.GRPCInferenceService", "grpc.health.v1.Health"}, services
    service = DescriptorPool(reflected).FindServiceByName("inference.GRPCInferenceService")
    request = service.FindMethodByName("ModelInfer").input_type
    ours = {field.name: field.number for field in request.fields}
    theirs = {field.name: field.number for field in triton.service_pb2.ModelInferRequest.DESCRIPTOR.fields}
    assert ours == theirs, (ours, theirs)
