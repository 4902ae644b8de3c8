"""Serves the company-or-person classifier. Nothing here belongs to a serving framework."""

import joblib
import pandas

from features import Features


class Classifier:
    def __init__(self, bundle):
        self.model = joblib.load(bundle.artifact("model"))
        self.features = Features(
            bundle.dataset("first_names"), bundle.dataset("surnames"), bundle.dataset("legal_forms")
        )
        self.labels = list(self.model.classes_)

    def classify(self, rows):
        columns = self.features.columns(rows["name"])
        scores = self.model.predict_proba(pandas.DataFrame(columns))
        best = scores.argmax(axis=1)
        return {
            "label": [self.labels[index] for index in best],
            "probability": scores[range(len(best)), best],
        }
