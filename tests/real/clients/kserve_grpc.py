"""KServe's gRPC client against a running server: `kserve_grpc.py PORT`."""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main():
    client = InferenceGRPCClient(f"localhost:{sys.argv[1]}")
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("test")
    for binary in (True, False):
        inputs = []
        for name, values in (("a", [1.0, 20.0]), ("b", [2.0, 3.0])):
            tensor = InferInput(name=name, shape=[2], datatype="FP64")
            tensor.set_data_from_numpy(np.array(values), binary_data=binary)
            inputs.append(tensor)
        response = await client.infer(InferRequest(model_name="test", infer_inputs=inputs))
        total = next(output for output in response.outputs if output.name == "total")
        assert total.as_numpy().tolist() == [3.0, 23.0], response
    await client.close()


asyncio.run(main())
