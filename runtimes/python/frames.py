"""Frames, as ../PROTOCOL.md describes them: what comes from the server and what goes to it."""

import json
import os
import struct

REQUESTS, REPLIES = 3, 4
FIRST_READ = 1 << 16
LENGTHS = struct.Struct("<II")
MOST_KNOWN, LONGEST_KNOWN = 1024, 512

known_headers = {}


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
    head, body = LENGTHS.unpack_from(data)
    end = 8 + head
    buffer = bytearray(data) if len(data) == end + body else read_more(data, end + body)
    return parse_header(buffer[8:end]), buffer, end


def parse_header(text):
    """Parses a header. Those of calls are few and come again, and are not worth reading as JSON anew."""
    text = bytes(text)
    parsed = known_headers.get(text)
    if parsed is None:
        parsed = json.loads(text)
        if len(text) < LONGEST_KNOWN and len(known_headers) < MOST_KNOWN:
            known_headers[text] = parsed
    return parsed


def header(message, /, **members):
    """Returns the header of a message of this type."""
    return json.dumps({"type": message, **members}).encode()


def send(head, body=b""):
    """Writes a frame; `head` is what `header` returns."""
    data = memoryview(LENGTHS.pack(len(head), len(body)) + head + body)
    while data:
        data = data[os.write(REPLIES, data):]
