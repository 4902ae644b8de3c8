"""KServe's client against a running server: `kserve_rest.py PORT`."""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL = f"http://localhost:{sys.argv[1]}"


async def v2(binary):
    client = InferenceRESTClient(RESTConfig(protocol="v2", verbose=False))
    assert await client.is_server_live(URL) and await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "test")
    inputs = []
    for name, values in (("a", [1.0, 20.0]), ("b", [2.0, 3.0])):
        tensor = InferInput(name=name, shape=[2], datatype="FP64")
        tensor.set_data_from_numpy(np.array(values), binary_data=binary)
        inputs.append(tensor)
    outputs = [RequestedOutput("total", {"binary_data": binary})]
    request = InferRequest(model_name="test", infer_inputs=inputs, request_outputs=outputs)
    response = await client.infer(URL, request, model_name="test")
    assert response.outputs[0].as_numpy().tolist() == [3.0, 23.0], response
    assert response.model_name == "test"


async def v1():
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_model_ready(URL, "test")
    answer = await client.infer(URL, {"instances": [[1, 2], {"a": 20, "b": 3}]}, model_name="test")
    assert answer == {"predictions": [{"label": "low", "total": 3.0}, {"label": "high", "total": 23.0}]}, answer


async def main():
    await v2(False)
    await v2(True)
    await v1()


asyncio.run(main())
