"""Loading and calls: what a worker does with each frame."""

import gc
import importlib.util
import os
import sys
import traceback

from .errors import OutputError
from .forking import fork
from .frames import REPLIES, REQUESTS, header, read_frame, send
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
        return self._artifacts[name]

    def dataset(self, name):
        """Returns the path of the dataset `name`."""
        return self._datasets[name]


def adapter(data, table, tensor, plain):
    if data["type"] == "table":
        return table(data["columns"])
    return tensor(data["dtype"]) if data["type"] == "tensor" else plain(data["type"])


def load(message):
    """Returns the endpoints by name: what reads a call, what answers it, what writes the result."""
    path = message["file"]
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("service", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module
    spec.loader.exec_module(module)
    service = getattr(module, message["entry"])(Bundle(message))
    endpoints = {}
    for name, data in message["endpoints"].items():
        source = adapter(data["input"], TableReader, TensorReader, PlainReader)
        sink = adapter(data["output"], TableWriter, TensorWriter, PlainWriter)
        endpoints[name] = source, getattr(service, name.replace("-", "_")), sink
    return endpoints


def is_refusal(error):
    """Whether a service refused its input: by an exception class of its own that is named `InputError`."""
    return any(kind.__name__ == "InputError" for kind in type(error).__mro__)


def answer(endpoints, call, buffer, offset):
    """Returns the header and body of the answer to a call."""
    source, method, sink = endpoints[call["endpoint"]]
    try:
        result = method(source.read(call, buffer, offset))
        return sink.write(result, call.get("rows", 1))
    except OutputError as error:
        return failure("output", str(error))
    except Exception as error:
        if is_refusal(error):
            return failure("input", str(error))
        traceback.print_exc()
        return failure("model", type(error).__name__)


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
        send(header("failed", message=f"{type(error).__name__}: {error}"))
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
