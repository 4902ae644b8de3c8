"""Fits the models in the current folder, with the versions of whoever is going to serve them, and says what they answer.

Called as `train.py KIND ROWS...`; writes model.joblib, rows-N.json (N rows of 16 numbers) and answers-N.json.
"""

import json
import statistics
import sys
import time

import joblib
import numpy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODELS = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(200, max_depth=12, random_state=1),
}


def call_time(model, rows):
    """Returns the median time of a call, in milliseconds."""
    times = []
    for _ in range(300 if len(rows) == 1 else 10):
        start = time.perf_counter()
        model.predict_proba(rows)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main():
    kind, counts = sys.argv[1], [int(count) for count in sys.argv[2:]]
    random = numpy.random.default_rng(1)
    known = random.normal(size=(20_000, 16))
    labels = known[:, 0] + known[:, 1] + random.normal(size=len(known)) > 0
    model = MODELS[kind]
    if kind == "forest":
        # All processors fit it, one asks it.
        model.set_params(n_jobs=-1).fit(known, labels).set_params(n_jobs=1)
    else:
        model.fit(known, labels)
    joblib.dump(model, "model.joblib")
    times = {}
    for count in counts:
        rows = random.normal(size=(count, 16))
        with open(f"rows-{count}.json", "w") as file:
            json.dump(rows.tolist(), file)
        with open(f"answers-{count}.json", "w") as file:
            json.dump(model.predict_proba(rows).tolist(), file)
        times[count] = call_time(model, rows)
    print(json.dumps(times))


main()
