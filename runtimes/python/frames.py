"""Frames, as ../PROTOCOL.md describes them: what comes from the server and what goes to it."""

import json
import os
import struct

REQUESTS, REPLIES = 3, 4
FIRST_READ = 1 << 16


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


def send(header, body=b""):
    text = json.dumps(header).encode()
    data = memoryview(struct.pack("<II", len(text), len(body)) + text + body)
    while data:
        data = data[os.write(REPLIES, data):]
