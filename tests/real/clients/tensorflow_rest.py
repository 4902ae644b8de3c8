"""TensorFlow Serving's REST interface as its guides call it, with requests: `tensorflow_rest.py PORT`."""

import json
import sys

import requests

BASE = f"http://localhost:{sys.argv[1]}/v1/models/halve"


def post(path, body):
    answer = requests.post(BASE + path, data=json.dumps(body), headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return json.loads(answer.text)


status = requests.get(BASE, timeout=60).json()["model_version_status"]
assert [version["state"] for version in status] == ["AVAILABLE"], status
version = status[0]["version"]
signature = requests.get(f"{BASE}/metadata", timeout=60).json()["metadata"]["signature_def"]["signature_def"]
name = next(iter(signature["serving_default"]["inputs"]))

images = [[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]
halves = [[0.5, 1.0, 2.0], [4.0, 8.0, 16.0]]
for path in (":predict", f"/versions/{version}:predict"):
    rows = post(path, {"signature_name": "serving_default", "instances": images})
    assert rows["predictions"] == halves, rows
assert post(":predict", {"instances": [{name: row} for row in images]})["predictions"] == halves
assert post(":predict", {"inputs": {name: images}})["outputs"] == halves

refused = requests.post(f"{BASE}:predict", data="{", timeout=60)
assert refused.status_code == 400 and "error" in refused.json(), refused.text
