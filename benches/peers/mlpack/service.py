"""The bench's model behind mlpack: the same function for a matrix and for a data frame."""

import joblib


class Scorer:
    def __init__(self, bundle):
        self.model = joblib.load(bundle.artifact("model"))

    def score(self, rows):
        return self.model.predict_proba(rows)

    def score_table(self, rows):
        answers = self.model.predict_proba(rows.to_numpy())
        return {"p0": answers[:, 0], "p1": answers[:, 1]}
