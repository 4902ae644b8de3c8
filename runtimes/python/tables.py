"""Tables: bodies to data frames, and what a service gave to bodies, as ../PROTOCOL.md describes both."""

import datetime
import math
import operator
import struct

from . import libraries
from .dataframes import frame_maker
from .errors import OutputError

FORMATS = {"integer": "q", "number": "d", "boolean": "B", "date": "i", "datetime": "q", "category": "i"}
EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=datetime.timezone.utc)
EPOCH_DAY = EPOCH.date().toordinal()
MICROSECOND = datetime.timedelta(microseconds=1)


def padded(size):
    return (size + 7) & ~7


def pad(data):
    return data + bytes(-len(data) % 8)


# Reading


class TableReader:
    """Turns the columns of a body into a data frame, or into a dict of lists."""

    def __init__(self, columns):
        self.columns = [prepared(column) for column in columns]
        self.names = [column["name"] for column in columns]
        plain = all(column["type"] == "number" and not column["nullable"] for column in columns)
        # Columns of one type lie next to each other: one array, which a data frame takes as it is.
        self.arrays = self.matrix if libraries.pandas is not None and plain else self.each
        if libraries.pandas is not None:
            # A row of zeros is one for all types: empty texts, first levels, missing values.
            self.make = frame_maker(self.names, self.arrays(bytearray(32 * len(columns)), 0, 1))

    def read(self, call, buffer, offset):
        rows = call["rows"]
        arrays = self.arrays(buffer, offset, rows)
        return dict(zip(self.names, arrays)) if libraries.pandas is None else self.make(arrays, rows)

    def matrix(self, buffer, offset, rows):
        values = libraries.numpy.frombuffer(buffer, "<f8", rows * len(self.names), offset)
        return [values.reshape(len(self.names), rows)]

    def each(self, buffer, offset, rows):
        arrays = []
        for column in self.columns:
            values, offset = read_column(column, buffer, offset, rows)
            arrays.append(values)
        return arrays


def prepared(column):
    """Returns the column with its levels as pandas wants them."""
    if libraries.pandas is None or column["type"] != "category":
        return column
    return {**column, "dtype": libraries.pandas.CategoricalDtype(column["enum"])}


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
    if libraries.pandas is not None:
        values = libraries.numpy.frombuffer(buffer, "<" + form, rows, offset)
        mask = None if valid is None else libraries.numpy.frombuffer(valid, "u1") == 0
        return array_column(column, values, mask), end
    values = struct.unpack_from(f"<{rows}{form}", buffer, offset)
    return masked([plain_value(column, value) for value in values], valid), end


def objects(values):
    if libraries.pandas is None:
        return values
    result = libraries.numpy.empty(len(values), dtype=object)
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
        return libraries.pandas.arrays.IntegerArray(values, mask) if some else values
    if kind == "boolean":
        some = mask is not None and mask.any()
        return libraries.pandas.arrays.BooleanArray(values.astype(bool), mask) if some else values.astype(bool)
    if kind == "category":
        codes = values if mask is None else libraries.numpy.where(mask, -1, values)
        return libraries.pandas.Categorical.from_codes(codes, dtype=column["dtype"])
    unit = "datetime64[s]" if kind == "date" else "datetime64[us]"
    times = values.astype("datetime64[D]" if kind == "date" else "datetime64[us]").astype(unit)
    if mask is not None:
        times[mask] = libraries.numpy.datetime64("NaT")
    return libraries.pandas.array(times)


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
        return b'{"type":"result","rows":%d}' % rows, b"".join(body)

    def by_name(self, result):
        if libraries.pandas is not None and isinstance(result, libraries.pandas.DataFrame):
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
    source = getattr(values, "dtype", None)
    if not nullable and libraries.numpy is not None and isinstance(source, libraries.numpy.dtype):
        if (kind == "number" and source.kind in "fiu") or (kind == "integer" and source.kind == "i"):
            return libraries.numpy.asarray(values).astype("<" + FORMATS[kind], copy=False).tobytes()
    if getattr(source, "kind", "") == "M" and isinstance(source, libraries.numpy.dtype):
        # In microseconds it becomes datetimes and None; in nanoseconds, integers.
        values = libraries.numpy.asarray(values).astype("datetime64[us]")
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    marks = b""
    try:
        present = bytes(not is_missing(value) for value in values)
        if nullable:
            marks = pad(present)
            values = masked(values, present)
        elif 0 in present:
            raise OutputError(f"column `{column['name']}` has a missing value in row {present.index(0) + 1}")
        return marks + WRITERS[kind](column, values)
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError, struct.error) as error:
        raise OutputError(f"column `{column['name']}` has a value that is no {kind}: {error!r}") from error


def is_missing(value):
    return value is None or value is libraries.MISSING or value != value


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
