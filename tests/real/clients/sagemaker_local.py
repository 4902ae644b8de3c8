"""The client of SageMaker's local mode, with its serializers, against a running server: `sagemaker_local.py PORT`."""

import logging
import os
import sys

os.environ["AWS_DEFAULT_REGION"] = "eu-north-1"
logging.disable(logging.INFO)

from sagemaker.deserializers import JSONDeserializer
from sagemaker.local.local_session import LocalSagemakerRuntimeClient
from sagemaker.serializers import JSONSerializer

client = LocalSagemakerRuntimeClient({"local": {"serving_port": int(sys.argv[1])}})


def invoke(body, content_type):
    answer = client.invoke_endpoint(body, "test", ContentType=content_type, Accept="application/json", CustomAttributes="trace=1")
    return JSONDeserializer().deserialize(answer["Body"], "application/json")


expected = {"predictions": [{"label": "low", "total": 3.0}, {"label": "high", "total": 23.0}]}
serializer = JSONSerializer()
for rows in (
    {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [20, 3]]}},
    {"instances": [{"a": 1, "b": 2}, {"a": 20, "b": 3}]},
):
    answer = invoke(serializer.serialize(rows), serializer.content_type)
    assert answer == expected, answer
answer = invoke("a,b\n1,2\n20,3\n", "text/csv")
assert answer == expected, answer
