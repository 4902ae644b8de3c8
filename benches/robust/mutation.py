"""Requests that were good until a few things happened to them."""

VALID = [
    ("POST", "/predict", "application/json", b'{"rows": [{"x": 7}]}'),
    ("POST", "/predict", "application/json", b'{"columns": {"x": [7, 8]}}'),
    ("POST", "/v2/models/double/infer", "application/json",
     b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [7]}]}'),
    ("POST", "/v1/models/double:predict", "application/json", b'{"instances": [{"x": 7}]}'),
    ("POST", "/invocations", "text/csv", b"x\n7\n"),
    ("POST", "/invocations", "application/json", b'{"dataframe_split": {"columns": ["x"], "data": [[7]]}}'),
    ("POST", "/api/v1.0/predictions", "application/json", b'{"data": {"names": ["x"], "ndarray": [[7]]}}'),
    ("GET", "/metrics", "text/plain", b""),
    ("GET", "/v2/models/double", "text/plain", b""),
]
JUNK = [b"\0", b"\r\n", b"\r\n\r\n", b"[" * 5000, b'"', b"1e999", b"-", b"\xff\xfe", b"{}", b"null", b"9" * 400, b"content-length: 1",
        b"transfer-encoding: chunked\r\n", b"HTTP/1.1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\\ud800", b"%00", b"../"]


def mutated(chance):
    """A request that was good until a few things happened to it."""
    method, path, media_type, body = chance.choice(VALID)
    length = len(body) if chance.random() < 0.8 else chance.choice([0, 1, len(body) + 1, 1 << 40, -1])
    text = bytearray(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n".encode())
    start = 0 if chance.random() < 0.5 else len(text)
    text += body
    for _ in range(chance.randint(0, 4)):
        at = chance.randint(min(start, len(text)), len(text))
        match chance.randrange(5):
            case 0 if at < len(text):
                text[at] = chance.randrange(256)
            case 1:
                text[at:at] = chance.choice(JUNK)
            case 2:
                del text[at:at + chance.randint(1, 20)]
            case 3:
                del text[at:]
            case _:
                text[at:at] = text[start:at]
    return bytes(text)
