"""Clients of mlpack-server: one that checks its answers, and one that sends anything."""

import asyncio
import json

PATIENCE = 30


class Failed(Exception):
    """The server did something that it must never do."""


class Client:
    """A connection that is kept, and opened again where the server ended it."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def request(self, method, path, body=b"", media_type="application/json"):
        """Returns status, head and body; at most a patient while passes."""
        async with asyncio.timeout(PATIENCE):
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n\r\n"
                self.writer.write(head.encode() + body)
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0])
                answer = await self.reader.readexactly(length)
            except BaseException:
                self.close()
                raise
            if "connection: close" in head:
                self.close()
            return int(head.split(" ", 2)[1]), head, answer

    async def double(self, x):
        """Has the model double a number; returns the status and the error's code."""
        status, head, answer = await self.request("POST", "/predict", json.dumps({"rows": [{"x": x}]}).encode())
        answer = json.loads(answer)
        if status == 200 and answer != {"rows": [{"y": 2 * x + 1}]}:
            raise Failed(f"{x} was answered with {answer}")
        if status == 429 and "retry-after: " not in head:
            raise Failed("429 without Retry-After")
        return status, answer.get("error", {}).get("code")

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def once(port, method, path):
    client = Client(port)
    try:
        return await client.request(method, path)
    finally:
        client.close()


async def throw(port, text):
    """Sends anything, says that no more comes, and returns the first answer's status; 0 where there was none."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(text)
            writer.write_eof()
            answer = await reader.read()
        except OSError:
            return 0
        finally:
            writer.close()
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
