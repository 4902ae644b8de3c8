"""The libraries that tables, tensors and pictures may be made of; `None` where one is not installed or not asked for."""

import importlib

numpy = pandas = pillow = MISSING = None


def import_libraries(endpoints):
    """Imports what the endpoints' data is made of, where it is installed."""
    global numpy, pandas, pillow, MISSING
    kinds = {data[side]["type"] for data in endpoints.values() for side in ("input", "output")}
    try:
        if kinds & {"table", "tensor"}:
            numpy = importlib.import_module("numpy")
        if "table" in kinds:
            pandas = importlib.import_module("pandas")
            MISSING = pandas.NA
    except ImportError:
        pass
    try:
        if "image" in kinds:
            pillow = importlib.import_module("PIL.Image")
    except ImportError:
        pass
