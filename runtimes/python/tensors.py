"""Tensors, JSON, text and bytes: bodies to values and back, as ../PROTOCOL.md describes them."""

import datetime
import json
import math
import struct

from . import libraries
from .errors import OutputError
from .frames import header
from .tables import encoded

DTYPES = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q",
    "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d",
}


class TensorReader:
    """Turns a body into an array, or into nested lists."""

    def __init__(self, dtype):
        self.form = DTYPES[dtype]

    def read(self, call, buffer, offset):
        shape = call["shape"]
        if libraries.numpy is not None:
            return libraries.numpy.frombuffer(buffer, "<" + self.form, math.prod(shape), offset).reshape(shape)
        values = iter(struct.unpack_from(f"<{math.prod(shape)}{self.form}", buffer, offset))

        def nested(shape):
            return [nested(shape[1:]) for _ in range(shape[0])] if shape else next(values)

        return nested(shape)


class PlainReader:
    """Turns a body into a JSON value, a text or bytes."""

    def __init__(self, kind):
        self.convert = {"json": json.loads, "text": lambda body: str(body, "utf-8"), "binary": bytes}[kind]

    def read(self, call, buffer, offset):
        return self.convert(buffer[offset:])


class TensorWriter:
    """Turns an array, or nested lists, into a body."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.form = DTYPES[dtype]

    def write(self, result, rows):
        try:
            if libraries.numpy is not None:
                values = self.array(result)
                return header("result", shape=values.shape), values.tobytes()
            shape, values = [], result
            while isinstance(values, (list, tuple)):
                shape.append(len(values))
                values = values[0] if values else None
            flat = result if shape else [result]
            for _ in shape[1:]:
                flat = [value for part in flat for value in part]
            return header("result", shape=shape), struct.pack(f"<{len(flat)}{self.form}", *flat)
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise OutputError(f"the result is no tensor of {self.dtype}: {error}") from error

    def array(self, result):
        """Returns the result as an array of the tensor's type. Integers of any type will do where they fit, since a cast by
        itself would wrap those that do not."""
        values = libraries.numpy.asarray(result)
        wanted = libraries.numpy.dtype("<" + self.form)
        if wanted.kind not in "iu" or values.dtype.kind not in "iu":
            return values.astype(wanted, casting="same_kind", copy=False)
        if values.size > 0:
            least, most, limits = int(values.min()), int(values.max()), libraries.numpy.iinfo(wanted)
            if least < limits.min or most > limits.max:
                raise OutputError(f"the result has numbers from {least} to {most}, which {self.dtype} does not hold")
        return values.astype(wanted, copy=False)


class PlainWriter:
    """Turns a JSON value, a text or bytes into a body."""

    def __init__(self, kind):
        self.kind = kind
        self.head = header("result")

    def write(self, result, rows):
        try:
            if self.kind == "json":
                text = json.dumps(result, allow_nan=False, ensure_ascii=False, default=as_json)
                return self.head, text.encode()
            return self.head, encoded(result) if self.kind == "text" else bytes(memoryview(result))
        except (TypeError, ValueError) as error:
            raise OutputError(f"the result is no {self.kind}: {error}") from error


def as_json(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
