"""mlpack-server with a model that doubles numbers: started, looked at, and stopped. What it is asked is not known here."""

import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

from client import PATIENCE, Failed, once

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKER = ROOT / "runtimes" / "python" / "worker.py"

SERVICE = """import time

class Model:
    def __init__(self, bundle):
        time.sleep({load})

    def predict(self, rows):
        time.sleep({call})
        return {{"y": [2 * x + 1 for x in rows["x"]]}}
"""


def column(name):
    return {"name": name, "type": "integer", "nullable": False, "example": 1, "description": "", "enum": [],
            "minimum": None, "maximum": None, "max_length": None}


class Server:
    """mlpack-server with a model that doubles numbers and takes a known time."""

    def __init__(self, call=0.0, load=0.0, environment=(), wrapper=(), program=None, **settings):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        service = folder / "service.py"
        service.write_text(SERVICE.format(call=call, load=load))
        server = {"workers": 1, "timeout_ms": 5000, "max_batch_rows": 64, "max_body_bytes": 16 << 20, "max_queue": 1024,
                  "grace_ms": 5000, "startup_timeout_ms": 30000, **settings}
        endpoint = {"description": "", "task": "custom", "batch": True,
                    "input": {"type": "table", "columns": [column("x")]},
                    "output": {"type": "table", "columns": [column("y")]}}
        contract = {"name": "double", "version": "1", "description": "", "license": None, "artifacts": {}, "datasets": {},
                    "worker": {"language": "python", "command": [sys.executable, str(WORKER)], "environment": {},
                               "file": str(service), "entry": "Model"},
                    "endpoints": {"predict": endpoint}, "server": server}
        (folder / "service.json").write_text(json.dumps(contract))
        self.log = open(folder / "log", "w+")
        command = [*wrapper, program or os.environ["MLPACK_SERVER"], "--host", "127.0.0.1", "--port", "0", "--service",
                   str(folder / "service.json")]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=self.log, env={**os.environ, **dict(environment)})
        self.port = self.wait_for_port()

    def wait_for_port(self):
        while self.process.poll() is None and time.perf_counter() - self.started < PATIENCE:
            for line in self.lines():
                if '"listening"' in line:
                    return int(json.loads(line)["address"].rsplit(":", 1)[1])
            time.sleep(0.0005)
        raise Failed(f"the server did not start: {self.lines()}")

    def lines(self):
        with open(self.log.name) as log:
            return log.readlines()

    def memory(self):
        """Returns the resident bytes of the server's own process."""
        return resident(self.process.pid)

    def workers(self):
        """Returns the processes that run the worker program below the server."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                waiting.extend(map(int, children))
                if str(WORKER).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    async def ready(self):
        for _ in range(PATIENCE * 1000):
            with contextlib.suppress(OSError, EOFError):
                if (await once(self.port, "GET", "/readyz"))[0] == 200:
                    return
            await asyncio.sleep(0.001)
        raise Failed("the server is not ready")

    async def __aenter__(self):
        await self.ready()
        return self

    async def __aexit__(self, kind, error, trace):
        self.stop()

    def stop(self):
        if self.process.poll() is not None:
            raise Failed(f"the server ended by itself: {self.lines()[-3:]}")
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        self.log.close()
        self.folder.cleanup()
        if status:
            raise Failed(f"the server ended with {status}")


def worker_alone():
    """Returns how long a worker takes to load the same model without a server."""
    with tempfile.TemporaryDirectory() as folder:
        service = pathlib.Path(folder) / "service.py"
        service.write_text(SERVICE.format(call=0, load=0.2))
        load = {"type": "load", "name": "double", "version": "1", "file": str(service), "entry": "Model", "artifacts": {},
                "datasets": {}, "endpoints": {"predict": {"input": {"type": "table", "columns": [column("x")]},
                                                          "output": {"type": "table", "columns": [column("y")]}}}}
        header = json.dumps(load).encode()
        header += b" " * (-len(header) % 8)
        (request, to_worker), (from_worker, reply) = os.pipe(), os.pipe()
        begun = time.perf_counter()
        process = subprocess.Popen([sys.executable, WORKER], preexec_fn=lambda: hand_over(request, reply), pass_fds=(3, 4))
        os.write(to_worker, struct.pack("<II", len(header), 0) + header)
        os.read(from_worker, 8)
        took = time.perf_counter() - begun
        process.kill()
        process.wait()
        for end in (request, to_worker, from_worker, reply):
            os.close(end)
        return took


def hand_over(request, reply):
    """Puts the two pipes where the worker protocol has them."""
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (request, reply)]
    for end, place in zip(ends, (3, 4), strict=True):
        os.dup2(end, place)


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
