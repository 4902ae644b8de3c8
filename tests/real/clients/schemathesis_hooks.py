"""What Schemathesis cannot make of a schema: pictures, and files that stand for them."""

import struct
import zlib

import schemathesis
from hypothesis import strategies


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(value):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes([0, value]))) + chunk(b"IEND", b"")


PICTURES = strategies.integers(0, 255).map(png)
schemathesis.openapi.media_type("image/png", PICTURES)
schemathesis.openapi.media_type("application/octet-stream", PICTURES)
