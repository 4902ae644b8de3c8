"""The Python worker: loads a service file and answers calls, as ../PROTOCOL.md describes.

It needs the standard library alone. Where pandas is installed, tables are data frames; where numpy is, tensors are
arrays. Neither is imported where no endpoint has use for it.
"""

import datetime
import gc
import importlib.util
import json
import math
import operator
import os
import struct
import sys
import time
import traceback

numpy = pandas = MISSING = None
REQUESTS, REPLIES = 3, 4
FIRST_READ = 1 << 16
FORMATS = {"integer": "q", "number": "d", "boolean": "B", "date": "i", "datetime": "q", "category": "i"}
EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=datetime.timezone.utc)
EPOCH_DAY = EPOCH.date().toordinal()
MICROSECOND = datetime.timedelta(microseconds=1)
DTYPES = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q",
    "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d",
}


class OutputError(Exception):
    """What the service gave does not fit its contract."""


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


def padded(size):
    return (size + 7) & ~7


def pad(data):
    return data + bytes(-len(data) % 8)


# Reading


def read_more(data, length):
    """Returns a writable buffer of `length` bytes that begins with `data`, read to its end."""
    buffer = bytearray(length)
    buffer[: len(data)] = data
    view = memoryview(buffer)[len(data):]
    while view:
        count = os.readv(REQUESTS, [view])
        if count == 0:
            raise EOFError
        view = view[count:]
    return buffer


def read_frame():
    """Returns the next frame's header, and its bytes with the place where its body begins; `None` at the end."""
    data = os.read(REQUESTS, FIRST_READ)
    if not data:
        return None
    if len(data) < 8:
        data = bytes(read_more(data, 8))
    header, body = struct.unpack_from("<II", data)
    length = 8 + header + body
    buffer = bytearray(data) if len(data) == length else read_more(data, length)
    return json.loads(buffer[8:8 + header]), buffer, 8 + header


class TableReader:
    """Turns the columns of a body into a data frame, or into a dict of lists."""

    def __init__(self, columns):
        self.columns = columns
        self.names = [column["name"] for column in columns]
        plain = all(column["type"] == "number" and not column["nullable"] for column in columns)
        # Columns of one type lie next to each other: one block, which a data frame takes as it is.
        self.block = pandas is not None and plain
        self.index = pandas.Index(self.names) if pandas is not None else None

    def read(self, header, buffer, offset):
        rows = header["rows"]
        if self.block:
            values = numpy.frombuffer(buffer, "<f8", rows * len(self.names), offset)
            return pandas.DataFrame(values.reshape(len(self.names), rows).T, columns=self.index, copy=False)
        arrays = []
        for column in self.columns:
            values, offset = read_column(column, buffer, offset, rows)
            arrays.append(values)
        if pandas is None:
            return dict(zip(self.names, arrays))
        return frame(arrays, self.index, rows)


def frame(arrays, index, rows):
    """Returns the data frame of the arrays, by the short way where this version of pandas has it."""
    try:
        return pandas.DataFrame._from_arrays(arrays, index, pandas.RangeIndex(rows), verify_integrity=False)
    except (AttributeError, TypeError):
        return pandas.DataFrame(dict(zip(index, arrays)), copy=False)


def read_column(column, buffer, offset, rows):
    kind, valid = column["type"], None
    if column["nullable"]:
        valid = buffer[offset:offset + rows]
        offset += padded(rows)
    if kind == "string":
        lengths = struct.unpack_from(f"<{rows}I", buffer, offset)
        offset += padded(4 * rows)
        values, start = [], offset
        for length in lengths:
            values.append(str(buffer[start:start + length], "utf-8"))
            start += length
        return objects(masked(values, valid)), offset + padded(start - offset)
    form = FORMATS[kind]
    size = struct.calcsize(form)
    end = offset + padded(size * rows)
    if pandas is not None:
        values = numpy.frombuffer(buffer, "<" + form, rows, offset)
        mask = None if valid is None else numpy.frombuffer(valid, "u1") == 0
        return array_column(column, values, mask), end
    values = struct.unpack_from(f"<{rows}{form}", buffer, offset)
    return masked([plain_value(column, value) for value in values], valid), end


def objects(values):
    if pandas is None:
        return values
    result = numpy.empty(len(values), dtype=object)
    result[:] = values
    return result


def masked(values, valid):
    return values if valid is None else [value if there else None for value, there in zip(values, valid)]


def array_column(column, values, mask):
    kind = column["type"]
    if kind == "number":
        return values
    if kind == "integer":
        some = mask is not None and mask.any()
        return pandas.arrays.IntegerArray(values, mask) if some else values
    if kind == "boolean":
        some = mask is not None and mask.any()
        return pandas.arrays.BooleanArray(values.astype(bool), mask) if some else values.astype(bool)
    if kind == "category":
        codes = values if mask is None else numpy.where(mask, -1, values)
        return pandas.Categorical.from_codes(codes, categories=column["enum"])
    unit = "datetime64[s]" if kind == "date" else "datetime64[us]"
    times = values.astype("datetime64[D]" if kind == "date" else "datetime64[us]").astype(unit)
    if mask is not None:
        times[mask] = numpy.datetime64("NaT")
    return pandas.array(times)


def plain_value(column, value):
    kind = column["type"]
    if kind == "boolean":
        return value != 0
    if kind == "category":
        return column["enum"][value]
    if kind == "date":
        return datetime.date.fromordinal(value + EPOCH_DAY)
    if kind == "datetime":
        return EPOCH + value * MICROSECOND
    return value


class TensorReader:
    """Turns a body into an array, or into nested lists."""

    def __init__(self, dtype):
        self.form = DTYPES[dtype]

    def read(self, header, buffer, offset):
        shape = header["shape"]
        if numpy is not None:
            return numpy.frombuffer(buffer, "<" + self.form, math.prod(shape), offset).reshape(shape)
        values = iter(struct.unpack_from(f"<{math.prod(shape)}{self.form}", buffer, offset))

        def nested(shape):
            return [nested(shape[1:]) for _ in range(shape[0])] if shape else next(values)

        return nested(shape)


class PlainReader:
    """Turns a body into a JSON value, a text or bytes."""

    def __init__(self, kind):
        self.convert = {"json": json.loads, "text": lambda body: str(body, "utf-8"), "binary": bytes}[kind]

    def read(self, header, buffer, offset):
        return self.convert(buffer[offset:])


# Writing


class TableWriter:
    """Turns what a service gave into columns: a data frame, a dict of columns or scalars, a list of dicts, a series or
    list for a single column, or an array with one column for each."""

    def __init__(self, columns):
        self.columns = columns
        self.names = [column["name"] for column in columns]

    def write(self, result, rows):
        values = self.by_name(result)
        rows = next((len(value) for value in values if is_column(value)), rows)
        body = []
        for column, value in zip(self.columns, values):
            if not is_column(value):
                value = [value] * rows
            if len(value) != rows:
                raise OutputError(f"column `{column['name']}` has {len(value)} rows, the first one has {rows}")
            body.append(write_column(column, value))
        return {"rows": rows}, b"".join(body)

    def by_name(self, result):
        if pandas is not None and isinstance(result, pandas.DataFrame):
            self.check_names(result.columns)
            return [result[name].array for name in self.names]
        if isinstance(result, dict):
            self.check_names(result)
            return [result[name] for name in self.names]
        if isinstance(result, (list, tuple)) and result and all(isinstance(row, dict) for row in result):
            for row in result:
                self.check_names(row)
            return [[row[name] for row in result] for name in self.names]
        shape = getattr(result, "shape", None)
        if shape is not None and len(shape) == 2 and shape[1] == len(self.names):
            return list(result.T)
        if len(self.names) == 1 and is_column(result):
            return [getattr(result, "array", result)]
        raise OutputError(f"a table with the columns {', '.join(self.names)} was expected, not {type(result).__name__}")

    def check_names(self, names):
        if len(names) != len(self.names) or any(name not in names for name in self.names):
            expected, given = ", ".join(self.names), ", ".join(map(str, names))
            raise OutputError(f"the columns must be {expected}, not {given}")


def is_column(value):
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, dict)) and getattr(value, "ndim", 1) == 1


def write_column(column, values):
    kind, nullable = column["type"], column["nullable"]
    if not nullable and numpy is not None and isinstance(getattr(values, "dtype", None), numpy.dtype):
        source = values.dtype
        if (kind == "number" and source.kind in "fiu") or (kind == "integer" and source.kind == "i"):
            return numpy.asarray(values).astype("<" + FORMATS[kind], copy=False).tobytes()
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    marks = b""
    if nullable:
        present = bytes(not is_missing(value) for value in values)
        marks = pad(present)
        values = masked(values, present)
    try:
        return marks + WRITERS[kind](column, values)
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError, struct.error) as error:
        raise OutputError(f"column `{column['name']}` has a value that is no {kind}: {error!r}") from error


def is_missing(value):
    return value is None or value is MISSING or value != value


def write_text(column, values):
    texts = [b"" if value is None else encoded(value) for value in values]
    return pad(struct.pack(f"<{len(texts)}I", *map(len, texts))) + pad(b"".join(texts))


def encoded(value):
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not text")
    return value.encode()


def fixed(convert, missing=0):
    def write(column, values):
        form = FORMATS[column["type"]]
        numbers = [missing if value is None else convert(column, value) for value in values]
        return pad(struct.pack(f"<{len(numbers)}{form}", *numbers))

    return write


def to_number(column, value):
    if isinstance(value, str):
        raise TypeError("text is not a number")
    return float(value)


def to_integer(column, value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def to_boolean(column, value):
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{type(value).__name__} is not a truth value")
    return bool(value)


def to_days(column, value):
    if isinstance(value, str):
        value = datetime.date.fromisoformat(value)
    elif isinstance(value, int):
        return value // (86_400 * 10**9)
    return value.toordinal() - EPOCH_DAY


def to_microseconds(column, value):
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    elif isinstance(value, int):
        return value // 1000
    return (value - (EPOCH if value.tzinfo is None else EPOCH_UTC)) // MICROSECOND


WRITERS = {
    "string": write_text,
    "integer": fixed(to_integer),
    "number": fixed(to_number, math.nan),
    "boolean": fixed(to_boolean),
    "date": fixed(to_days),
    "datetime": fixed(to_microseconds),
    "category": fixed(lambda column, value: column["enum"].index(value)),
}


class TensorWriter:
    """Turns an array, or nested lists, into a body."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.form = DTYPES[dtype]

    def write(self, result, rows):
        try:
            if numpy is not None:
                values = numpy.asarray(result).astype("<" + self.form, casting="same_kind", copy=False)
                return {"shape": list(values.shape)}, values.tobytes()
            shape, values = [], result
            while isinstance(values, (list, tuple)):
                shape.append(len(values))
                values = values[0] if values else None
            flat = result if shape else [result]
            for _ in shape[1:]:
                flat = [value for part in flat for value in part]
            return {"shape": shape}, struct.pack(f"<{len(flat)}{self.form}", *flat)
        except (TypeError, ValueError, struct.error) as error:
            raise OutputError(f"the result is no tensor of {self.dtype}: {error}") from error


class PlainWriter:
    """Turns a JSON value, a text or bytes into a body."""

    def __init__(self, kind):
        self.kind = kind

    def write(self, result, rows):
        try:
            if self.kind == "json":
                return {}, json.dumps(result, allow_nan=False, ensure_ascii=False, default=as_json).encode()
            return {}, encoded(result) if self.kind == "text" else bytes(memoryview(result))
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


def adapter(data, table, tensor, plain):
    if data["type"] == "table":
        return table(data["columns"])
    return tensor(data["dtype"]) if data["type"] == "tensor" else plain(data["type"])


# Serving


def import_libraries(endpoints):
    """Imports what the endpoints' data is made of, where it is installed."""
    global numpy, pandas, MISSING
    kinds = {data[side]["type"] for data in endpoints.values() for side in ("input", "output")}
    try:
        if kinds & {"table", "tensor"}:
            numpy = importlib.import_module("numpy")
        if "table" in kinds:
            pandas = importlib.import_module("pandas")
            MISSING = pandas.NA
    except ImportError:
        pass


def send(header, body=b""):
    text = json.dumps(header).encode()
    data = memoryview(struct.pack("<II", len(text), len(body)) + text + body)
    while data:
        data = data[os.write(REPLIES, data):]


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
        endpoints[name] = source, stages_of(service, name, data), sink
    return endpoints


def stages_of(service, name, data):
    """Returns the service's functions that a call goes through, each with what its time is called."""
    names = [("preprocess", data.get("preprocess")), ("model", name.replace("-", "_")), ("postprocess", data.get("postprocess"))]
    return [(stage, getattr(service, method)) for stage, method in names if method is not None]


def run(stages, value):
    """Returns what the last function makes of the value, and the times of all where there are several."""
    if len(stages) == 1:
        return stages[0][1](value), {}
    times = {}
    for stage, method in stages:
        start = time.perf_counter_ns()
        value = method(value)
        times[stage] = (time.perf_counter_ns() - start) // 1000
    return value, {"stages": times}


def is_refusal(error):
    """Whether a service refused its input: by an exception class of its own that is named `InputError`."""
    return any(kind.__name__ == "InputError" for kind in type(error).__mro__)


def answer(endpoints, header, buffer, offset):
    source, stages, sink = endpoints[header["endpoint"]]
    try:
        result, times = run(stages, source.read(header, buffer, offset))
        description, body = sink.write(result, header.get("rows", 1))
        return {"type": "result", **description, **times}, body
    except OutputError as error:
        return {"type": "error", "kind": "output", "message": str(error)}, b""
    except Exception as error:
        if is_refusal(error):
            return {"type": "error", "kind": "input", "message": str(error)}, b""
        traceback.print_exc()
        return {"type": "error", "kind": "model", "message": type(error).__name__}, b""


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
        send({"type": "failed", "message": f"{type(error).__name__}: {error}"})
        return
    # What is loaded stays: looking through it for garbage during calls would be time lost.
    gc.collect()
    gc.freeze()
    send({"type": "ready"})
    while (frame := read_frame()) is not None:
        header, body = answer(endpoints, *frame)
        send(header, body)


if __name__ == "__main__":
    main()
