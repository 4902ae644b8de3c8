"""Pictures, which are Pillow's where that is installed, else bytes."""

import io

from . import libraries
from .errors import InputError, OutputError
from .frames import header


class ImageReader:
    """Turns a body into a picture, or into bytes."""

    def read(self, call, buffer, offset):
        data = bytes(buffer[offset:])
        if libraries.pillow is None:
            return data
        try:
            picture = libraries.pillow.open(io.BytesIO(data))
            picture.load()
        except Exception as error:
            raise InputError("the picture cannot be read") from error
        return picture


class ImageWriter:
    """Turns a picture, or the bytes of one, into a body."""

    def __init__(self, media_type):
        self.form = media_type.split("/")[1].upper()
        self.head = header("result")

    def write(self, result, rows):
        try:
            if not hasattr(result, "save"):
                return self.head, bytes(memoryview(result))
            file = io.BytesIO()
            result.save(file, self.form)
            return self.head, file.getvalue()
        except (TypeError, ValueError, OSError) as error:
            raise OutputError(f"the result is no picture: {error}") from error
