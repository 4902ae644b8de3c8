"""Triton's clients against a server with versions 1 and 2 of a model: `triton_versions.py PORT`."""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
for triton in (tritonclient.http, tritonclient.grpc):
    client = triton.InferenceServerClient(f"localhost:{sys.argv[1]}")
    given = triton.InferInput("x", [2, 3], "FP32")
    given.set_data_from_numpy(matrix)
    for asked, version, divisor in (("1", "1", 2), ("2", "2", 4), ("stable", "2", 4), ("", "2", 4)):
        assert client.is_model_ready("halve", asked), asked
        result = client.infer("halve", [given], model_version=asked)
        response = result.get_response()
        answered = response["model_version"] if isinstance(response, dict) else response.model_version
        assert answered == version, (asked, answered)
        assert np.array_equal(result.as_numpy("output"), matrix / divisor), asked
    try:
        client.infer("halve", [given], model_version="3")
        raise AssertionError("an unknown version was taken")
    except InferenceServerException as error:
        assert "`2` (`stable`)" in error.message(), error

metadata = tritonclient.http.InferenceServerClient(f"localhost:{sys.argv[1]}").get_model_metadata("halve")
assert metadata["versions"] == ["1", "2"], metadata
index = tritonclient.grpc.InferenceServerClient(f"localhost:{sys.argv[1]}").get_model_repository_index().models
assert {(model.name, model.version, model.state) for model in index if model.name == "halve"} == {
    ("halve", "1", "READY"),
    ("halve", "2", "READY"),
}, index
