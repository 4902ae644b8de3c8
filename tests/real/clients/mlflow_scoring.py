"""MLflow's scoring client against a running server: `mlflow_scoring.py PORT`."""

import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

client = ScoringServerClient("localhost", sys.argv[1])
client.wait_server_ready()
assert client.get_version()
frame = pd.DataFrame({"b": [2.0, 3.0], "a": [1.0, 20.0], "extra": ["x", "y"]})
expected = [{"label": "low", "total": 3.0}, {"label": "high", "total": 23.0}]
assert client.invoke(frame).get_predictions().to_dict("records") == expected
matrix = np.array([[1.0, 2.0], [20.0, 3.0]])
assert client.invoke(matrix).get_predictions().to_dict("records") == expected
try:
    client.invoke(frame.drop(columns="a"))
    raise AssertionError("a missing column was taken")
except Exception as error:
    assert "error code 400" in str(error) and "/a is required" in str(error), error
