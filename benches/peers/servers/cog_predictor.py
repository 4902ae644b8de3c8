"""The bench's model behind Cog, whose inputs are flat lists."""

import joblib
import numpy
from cog import BasePredictor


class Predictor(BasePredictor):
    def setup(self):
        self.model = joblib.load("model.joblib")

    def predict(self, values: list[float]) -> list[float]:
        return self.model.predict_proba(numpy.array(values).reshape(-1, 16)).ravel().tolist()
