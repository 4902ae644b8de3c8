"""Who is measured: how each server is installed and started, and what its requests and answers look like.

A new peer is a subclass of `Python` (or of `Subject`) and a place in `SUBJECTS`.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import struct
import subprocess

from measure import HERE, Failed

# One thread for each call, whoever makes it.
SINGLE = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
SCIKIT = "scikit-learn==1.7.2"


@dataclasses.dataclass
class Request:
    """What is posted: rows of 16 numbers in a server's own form."""

    path: str
    body: bytes
    headers: dict


def as_json(path, value):
    return Request(path, json.dumps(value).encode(), {"Content-Type": "application/json"})


def named(rows):
    """Returns the rows as objects with the columns x1 to x16."""
    return [{f"x{number}": value for number, value in enumerate(row, 1)} for row in rows]


def run(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["it could not be installed"])[-1][:300])
    return done.stdout


class Subject:
    """A server. `folder` is where it finds model.joblib and writes; `home` is kept between runs."""

    name = ""
    kinds = ("pipeline", "forest")
    forms = ("json",)
    environment = {}
    warm_up = 1
    # How far an answer may be from the model's own.
    tolerance = 1e-6

    def __init__(self, home):
        self.home = pathlib.Path(home)

    def install(self):
        """Installs the server; returns its version."""
        raise NotImplementedError

    def train(self, folder, kind, counts):
        """Fits a model in the folder; returns the milliseconds of a call by number of rows."""
        raise NotImplementedError

    def command(self, folder, port):
        """Returns what starts the server in the folder."""
        raise NotImplementedError

    def request(self, rows, form):
        """Returns the request for the rows, in one of the subject's forms."""
        return as_json("/score", {"rows": rows})

    def answer(self, body, form):
        """Returns the probability of the second class for each row."""
        return [row[1] for row in json.loads(body)]


class Python(Subject):
    """A server from the Python index, in a virtual environment named after its first package."""

    packages = ()

    def __init__(self, home):
        super().__init__(home)
        self.programs = self.home / self.packages[0].partition("=")[0] / "bin"
        # Some start their workers as `python` or `uvicorn`.
        self.environment = {"PATH": f"{self.programs}:{os.environ['PATH']}"}

    def install(self):
        if not (self.programs / "pip").exists():
            run(["python3", "-m", "venv", self.programs.parent])
        run([self.programs / "pip", "install", "--quiet", "--disable-pip-version-check", SCIKIT, *self.packages])
        name, _, version = self.packages[0].partition("==")
        return f"{name} {version}"

    def train(self, folder, kind, counts):
        return json.loads(run([self.programs / "python", HERE / "train.py", kind, *counts], cwd=folder))


class Mlpack(Python):
    name = "mlpack"
    forms = ("json", "binary")
    # What the manifest locks: the model is fitted with the same versions.
    packages = ("numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1")

    def install(self):
        super().install()
        self.program = pathlib.Path(os.environ["MLPACK"])
        return run([self.program, "--version"]).strip()

    def command(self, folder, port):
        shutil.copytree(HERE / "mlpack", folder, dirs_exist_ok=True)
        return [self.program, "serve", "manifest.yaml", "--port", port]

    def request(self, rows, form):
        if form == "binary":
            return binary(rows, {"parameters": {"binary_data_output": True}})
        return as_json("/score", {"tensor": rows})

    def answer(self, body, form):
        return binary_answer(body) if form == "binary" else [row[1] for row in json.loads(body)["tensor"]]


class MlpackTable(Mlpack):
    name = "mlpack, as a table"
    kinds = ("pipeline",)
    forms = ("json",)

    def request(self, rows, form):
        return as_json("/score_table", {"rows": named(rows)})

    def answer(self, body, form):
        return [row["p1"] for row in json.loads(body)["rows"]]


class Bento(Python):
    name = "BentoML"
    service = "Plain"
    packages = ("bentoml==1.4.40",)

    def __init__(self, home):
        super().__init__(home)
        self.environment["BENTOML_DO_NOT_TRACK"] = "true"

    def command(self, folder, port):
        shutil.copy(HERE / "servers/bento.py", folder)
        return [self.programs / "bentoml", "serve", f"bento:{self.service}", "--port", port, "--host", "127.0.0.1"]


class BentoBatched(Bento):
    name = "BentoML, batchable"
    service = "Batched"


class Mlflow(Python):
    name = "MLflow"
    packages = ("mlflow==3.17.2",)

    def __init__(self, home):
        super().__init__(home)
        self.environment["MLFLOW_DISABLE_TELEMETRY"] = "true"

    def command(self, folder, port):
        shutil.rmtree(folder / "model", ignore_errors=True)
        run([self.programs / "python", HERE / "servers/mlflow_model.py"], cwd=folder)
        return [self.programs / "mlflow", "models", "serve", "-m", "model", "--env-manager", "local", "--workers", "1",
                "--port", port]

    def request(self, rows, form):
        return as_json("/invocations", {"inputs": rows})

    def answer(self, body, form):
        return [row[1] for row in json.loads(body)["predictions"]]


class MlServer(Python):
    name = "MLServer"
    forms = ("json", "binary")
    packages = ("mlserver==1.7.1", "mlserver-sklearn==1.7.1")

    def command(self, folder, port):
        settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
                    "parallel_workers": 0, "debug": False}
        model = {"name": "score", "implementation": "mlserver_sklearn.SKLearnModel",
                 "parameters": {"uri": "./model.joblib"}}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [self.programs / "mlserver", "start", "."]

    def request(self, rows, form):
        outputs = [{"name": "predict_proba", "parameters": {"binary_data": form == "binary"}}]
        if form == "binary":
            return binary(rows, {"outputs": outputs})
        tensor = {"name": "rows", "shape": [len(rows), 16], "datatype": "FP64", "data": rows}
        return as_json("/v2/models/score/infer", {"inputs": [tensor], "outputs": outputs})

    def answer(self, body, form):
        if form == "binary":
            return binary_answer(body)
        return json.loads(body)["outputs"][0]["data"][1::2]


class Cog(Python):
    name = "Cog"
    packages = ("cog==0.23.1",)

    def command(self, folder, port):
        shutil.copy(HERE / "servers/cog_predictor.py", folder / "predict.py")
        (folder / "cog.yaml").write_text('build: {python_version: "3.11"}\npredict: "predict.py:Predictor"\n')
        self.environment |= {"PORT": str(port), "COG_PREDICT_TYPE_STUB": "predict.py:Predictor"}
        return [self.programs / "python", "-m", "cog.server.http", "--host", "127.0.0.1"]

    def request(self, rows, form):
        return as_json("/predictions", {"input": {"values": [value for row in rows for value in row]}})

    def answer(self, body, form):
        return json.loads(body)["output"][1::2]


class Mosec(Python):
    name = "Mosec"
    packages = ("mosec==0.9.8",)

    def command(self, folder, port):
        return [self.programs / "python", HERE / "servers/mosec_server.py", "--port", port, "--address", "127.0.0.1",
                "--log-level", "error", "--max-req-size", 64 << 20]

    def request(self, rows, form):
        return as_json("/inference", {"rows": rows})


class LitServe(Python):
    name = "LitServe"
    packages = ("litserve==0.2.19",)

    def command(self, folder, port):
        return [self.programs / "python", HERE / "servers/litserve_server.py", port]

    def request(self, rows, form):
        return as_json("/predict", {"rows": rows})

    def answer(self, body, form):
        return [row[1] for row in json.loads(body)["answers"]]


class R(Subject):
    """A glm of 16 columns, from the files of benches/r."""

    kinds = ("glm",)
    # The first seconds are R's compiler's.
    warm_up = 3

    def train(self, folder, kind, counts):
        shutil.copytree(HERE.parent / "r", folder, dirs_exist_ok=True)
        told = run(["Rscript", "train.R"], cwd=folder)
        rows = [[column / 10 for column in range(1, 17)]]
        (folder / "rows-1.json").write_text(json.dumps(rows))
        code = "m <- readRDS('glm.rds'); r <- as.data.frame(t(1:16 / 10)); names(r) <- paste0('x', 1:16); " \
            "p <- predict(m, r, type = 'response'); cat(sprintf('[[%.15g, %.15g]]', 1 - p, p))"
        (folder / "answers-1.json").write_text(run(["Rscript", "-e", code], cwd=folder))
        return {1: float(told.split()[-2])}

    def request(self, rows, form):
        return as_json("/score", {"rows": named(rows)})

    def answer(self, body, form):
        return [row["p"] for row in json.loads(body)["rows"]]


class MlpackR(R):
    name = "mlpack (R)"

    def install(self):
        self.program = pathlib.Path(os.environ["MLPACK"])
        return run([self.program, "--version"]).strip()

    def command(self, folder, port):
        return [self.program, "serve", "manifest.yaml", "--port", port]


class Plumber(R):
    name = "plumber"
    # It writes four digits.
    tolerance = 1e-4

    def install(self):
        return "plumber " + run(["Rscript", "-e", "cat(as.character(packageVersion('plumber')))"])

    def command(self, folder, port):
        code = f"plumber::pr_run(plumber::plumb('plumber.R'), port = {port}, docs = FALSE, quiet = TRUE)"
        return ["Rscript", "-e", code]


def binary(rows, wanted):
    """Returns a request of the Open Inference Protocol with a binary tensor; `wanted` asks for a binary answer."""
    numbers = [value for row in rows for value in row]
    data = struct.pack(f"<{len(numbers)}d", *numbers)
    tensor = {"name": "rows", "shape": [len(rows), 16], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], **wanted}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Request("/v2/models/score/infer", head + data, headers)


def binary_answer(body):
    """Returns the second of two columns of 64-bit numbers behind the answer's JSON."""
    answer, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    size = answer["outputs"][0]["parameters"]["binary_data_size"]
    return struct.unpack(f"<{size // 8}d", body[end:end + size])[1::2]


SUBJECTS = [Mlpack, MlpackTable, Bento, BentoBatched, Mlflow, MlServer, Cog, Mosec, LitServe, MlpackR, Plumber]
