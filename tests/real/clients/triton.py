"""Triton's client against a running server: `triton.py PORT`."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(f"localhost:{sys.argv[1]}")
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("test")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
metadata = client.get_model_metadata("test", "1")
assert [tensor["name"] for tensor in metadata["inputs"]] == ["a", "b"], metadata
assert {model["name"] for model in client.get_model_repository_index()} == {"test", "predict", "halve"}


def tensor(name, array, datatype, binary):
    value = triton.InferInput(name, list(array.shape), datatype)
    value.set_data_from_numpy(array, binary_data=binary)
    return value


for binary in (True, False):
    columns = [
        tensor("a", np.array([1.0, 20.0]), "FP64", binary),
        tensor("b", np.array([2, 3], dtype=np.int32), "INT32", binary),
    ]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("total", "label")]
    result = client.infer("test", columns, outputs=outputs, request_id="7")
    assert result.get_response()["id"] == "7"
    assert result.as_numpy("total").tolist() == [3.0, 23.0]
    assert [str(label if binary is False else label.decode()) for label in result.as_numpy("label")] == ["low", "high"]
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = client.infer("halve", [tensor("x", matrix, "FP32", binary)])
    assert np.array_equal(result.as_numpy("output"), matrix / 2)

large = np.random.default_rng(0).random((100_000, 3), dtype=np.float32)
assert np.array_equal(client.infer("halve", [tensor("x", large, "FP32", True)]).as_numpy("output"), large / 2)

try:
    client.infer("test", [tensor("nobody", np.array([1.0]), "FP64", True)])
    raise AssertionError("an unknown input was taken")
except InferenceServerException as error:
    assert error.status() == "400" and "/inputs/0/name" in error.message(), error
