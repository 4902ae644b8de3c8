"""Loading and calls: what a worker does with each frame."""

import gc
import importlib.util
import json
import os
import sys
import time
import traceback

from .errors import OutputError, ServiceError
from .forking import fork
from .frames import REPLIES, REQUESTS, header, read_frame, send
from .images import ImageReader, ImageWriter
from .libraries import import_libraries
from .tables import TableReader, TableWriter
from .tensors import PlainReader, PlainWriter, TensorReader, TensorWriter


class Bundle:
    """What the service is made of, as its constructor gets it."""

    def __init__(self, load):
        self.name = load["name"]
        self.version = load["version"]
        self._artifacts = load["artifacts"]
        self._datasets = load["datasets"]

    def artifact(self, name):
        """Returns the path of the artifact `name`."""
        return path_of("artifact", self._artifacts, name)

    def dataset(self, name):
        """Returns the path of the dataset `name`."""
        return path_of("dataset", self._datasets, name)


def path_of(kind, paths, name):
    if name not in paths:
        raise KeyError(f"there is no {kind} `{name}`")
    return paths[name]


def reader(data):
    kind = data["type"]
    if kind == "table":
        return TableReader(data["columns"])
    if kind == "image":
        return ImageReader()
    return TensorReader(data["dtype"]) if kind == "tensor" else PlainReader(kind)


def writer(data):
    kind = data["type"]
    if kind == "table":
        return TableWriter(data["columns"])
    if kind == "image":
        return ImageWriter(data["media_types"][0])
    return TensorWriter(data["dtype"]) if kind == "tensor" else PlainWriter(kind)


def load(message):
    """Returns the endpoints by name: what reads a call, the functions that answer it, what writes the result."""
    path = message["file"]
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("service", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module
    spec.loader.exec_module(module)
    service = member(module, message["entry"], "the service file has no class `{}`")(Bundle(message))
    endpoints = {}
    for name, data in message["endpoints"].items():
        endpoints[name] = reader(data["input"]), stages_of(service, name, data), writer(data["output"])
    return endpoints


def stages_of(service, name, data):
    """Returns the service's functions that a call goes through, each with the name of its stage."""
    methods = {
        "preprocess": data.get("preprocess"),
        "model": name.replace("-", "_"),
        "postprocess": data.get("postprocess"),
    }
    missing = f"the class `{type(service).__name__}` has no function `{{}}`"
    return [(stage, member(service, method, missing)) for stage, method in methods.items() if method is not None]


def member(owner, name, missing):
    """Returns what has that name; where nothing has, `missing` says so."""
    try:
        return getattr(owner, name)
    except AttributeError:
        raise ServiceError(missing.format(name))


def run(stages, value):
    """Returns what the last function makes of the value, and how long each took where there are several."""
    if len(stages) == 1:
        return stages[0][1](value), None
    times = {}
    for stage, method in stages:
        start = time.perf_counter_ns()
        value = method(value)
        times[stage] = (time.perf_counter_ns() - start) // 1000
    return value, times


def with_times(head, times):
    """Adds the times to a result's header."""
    return head if times is None else head[:-1] + b',"stages":%s}' % json.dumps(times).encode()


def is_refusal(error):
    """Whether a service refused its input: by an exception class of its own that is named `InputError`."""
    return any(kind.__name__ == "InputError" for kind in type(error).__mro__)


def answer(endpoints, call, buffer, offset):
    """Returns the header and body of the answer to a call."""
    source, stages, sink = endpoints[call["endpoint"]]
    try:
        result, times = run(stages, source.read(call, buffer, offset))
        head, body = sink.write(result, call.get("rows", 1))
        return with_times(head, times), body
    except OutputError as error:
        return failure("output", str(error))
    except Exception as error:
        if is_refusal(error):
            return failure("input", str(error))
        traceback.print_exc()
        return failure("model", type(error).__name__)


def describe(error):
    """Says why a service cannot be loaded, with the name of a module that is missing."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"the module `{error.name}` is not in the image: name its package in `runtime.packages`, "
            "or, if it is a file of yours, in `code`"
        )
    if isinstance(error, ServiceError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def failure(kind, message):
    return header("error", kind=kind, message=message), b""


def main():
    for descriptor in (REQUESTS, REPLIES):
        os.set_inheritable(descriptor, False)
    sys.stdout.reconfigure(line_buffering=True)
    message, _, _ = read_frame()
    try:
        import_libraries(message["endpoints"])
        endpoints = load(message)
    except Exception as error:
        traceback.print_exc()
        send(header("failed", message=describe(error)))
        return
    # What is loaded stays: looking through it for garbage during calls would be time lost.
    gc.collect()
    gc.freeze()
    send(header("ready"))
    while (frame := read_frame()) is not None:
        if frame[0]["type"] == "fork":
            fork(frame[0])
        else:
            send(*answer(endpoints, *frame))
