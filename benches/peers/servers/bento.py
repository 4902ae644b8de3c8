"""The bench's model behind BentoML, plain and with its adaptive batching."""

import bentoml
import joblib
import numpy


@bentoml.service(workers=1, traffic={"timeout": 60})
class Plain:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def score(self, rows: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict_proba(rows)


@bentoml.service(workers=1, traffic={"timeout": 60})
class Batched:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api(batchable=True, max_batch_size=16384)
    def score(self, rows: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict_proba(rows)
