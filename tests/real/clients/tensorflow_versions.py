"""TensorFlow Serving's REST interface with versions 1 and 2 of a model, as its guides call it: `tensorflow_versions.py PORT`."""

import json
import sys

import requests

BASE = f"http://localhost:{sys.argv[1]}/v1/models/halve"

status = requests.get(BASE, timeout=60).json()["model_version_status"]
assert [(version["version"], version["state"]) for version in status] == [("2", "AVAILABLE"), ("1", "AVAILABLE")], status
one = requests.get(f"{BASE}/versions/1", timeout=60).json()["model_version_status"]
assert [version["version"] for version in one] == ["1"], one
assert requests.get(f"{BASE}/labels/stable/metadata", timeout=60).json()["model_spec"]["version"] == "2"

body = json.dumps({"instances": [[4.0, 8.0, 16.0]]})
for path, divisor in (("", 4), ("/versions/1", 2), ("/versions/2", 4), ("/labels/stable", 4)):
    answer = requests.post(f"{BASE}{path}:predict", data=body, timeout=60)
    assert answer.json() == {"predictions": [[4 / divisor, 8 / divisor, 16 / divisor]]}, (path, answer.text)

refused = requests.post(f"{BASE}/versions/3:predict", data=body, timeout=60)
assert refused.status_code == 404 and "`2` (`stable`)" in refused.json()["error"], refused.text
