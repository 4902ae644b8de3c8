"""Puts mlpack-server under stress on the loopback interface, each kind for a bounded time, and prints a Markdown table.

It ends with 1 where an answer was wrong, a request hung or the server ended. Figures are printed beside their goals; they
decide nothing, since they depend on the machine. Called by robust.sh and, in short form, by the tests; needs the standard
library alone.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import random
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORKER = ROOT / "runtimes" / "python" / "worker.py"
PATIENCE = 30
MEGABYTE = 1e6

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


class Failed(Exception):
    """The server did something that it must never do."""


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


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


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


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


class Table:
    """What was seen, a line for each thing."""

    def __init__(self):
        print("| seen | value | goal |\n|---|---|---|", flush=True)

    def add(self, what, value, goal=""):
        print(f"| {what} | {value} | {goal} |", flush=True)


def millis(seconds):
    return f"{seconds * 1000:.1f} ms"


async def start(table, options):
    """How long the server takes to live, and how much longer than its worker to be ready."""
    lives, readies, workers = [], [], []
    for _ in range(options.starts):
        server = Server(load=0.2)
        while True:
            with contextlib.suppress(OSError):
                if (await once(server.port, "GET", "/livez"))[0] == 200:
                    break
        lives.append(time.perf_counter() - server.started)
        await server.ready()
        readies.append(time.perf_counter() - server.started)
        server.stop()
        workers.append(worker_alone())
    table.add("start to live, median", millis(statistics.median(lives)), "≤ 20 ms")
    more = statistics.median(readies) - statistics.median(workers)
    table.add("start to ready, beyond the worker's own start", millis(more), "≤ 50 ms")


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


async def idle(table, options):
    """Connections that do nothing, before and after a first request."""
    wanted = options.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted + 256), hard))
    async with Server(environment={"MLPACK_IDLE_TIMEOUT": "600"}) as server:
        before = server.memory()
        clients = [Client(server.port) for _ in range(wanted)]
        for client in clients:
            client.reader, client.writer = await asyncio.open_connection("127.0.0.1", server.port)
        fresh = server.memory() - before
        for client in clients:
            if (await client.request("GET", "/livez"))[0] != 200:
                raise Failed("an idle connection was not answered")
        kept = server.memory() - before
        times = []
        for x in range(200):
            begun = time.perf_counter()
            if (await clients[x].double(x))[0] != 200:
                raise Failed("a request beside idle connections failed")
            times.append(time.perf_counter() - begun)
        for client in clients:
            client.close()
    table.add(f"memory for {wanted} silent connections", f"{fresh / MEGABYTE:.1f} MB", "≤ 64 MB")
    table.add(f"memory for {wanted} kept connections after a request each", f"{kept / MEGABYTE:.1f} MB", "≤ 128 MB")
    table.add("a request beside them, p50", millis(statistics.median(times)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def overload(table, options):
    """Ten times as many requests as the model can take."""
    call, rows, queue = 0.04, 8, 16
    async with Server(call=call, max_batch_rows=rows, max_queue=queue) as server:
        usual = await throughput(server, rows, 2)
        accepted, refused, counter = [], [], iter(range(1 << 40))
        end = time.perf_counter() + options.seconds
        memory = []

        async def press():
            client, pause = Client(server.port), 2 * queue / (10 * usual)
            while time.perf_counter() < end:
                begun = time.perf_counter()
                status, _ = await client.double(next(counter))
                if status not in (200, 429):
                    raise Failed(f"overload was answered with {status}")
                (accepted if status == 200 else refused).append(time.perf_counter() - begun)
                await asyncio.sleep(max(0, begun + pause - time.perf_counter()))
            client.close()

        async def watch():
            while time.perf_counter() < end:
                memory.append(server.memory())
                await asyncio.sleep(options.seconds / 20)

        # Each sends again after a pause, so that together they offer ten times the capacity while most are refused at once.
        await asyncio.gather(watch(), *(press() for _ in range(2 * queue + 3 * queue)))
        after = await throughput(server, rows, 1)
    offered = (len(accepted) + len(refused)) / options.seconds
    limit = (2 + queue / rows) * call
    table.add("overload: offered, by capacity", f"{offered / usual:.1f}", "10")
    table.add("accepted, p99", millis(percentile(accepted, 0.99)), f"≤ {millis(limit)}")
    table.add("refused with 429, p99", millis(percentile(refused, 0.99)), "at once")
    table.add("memory from first to last", f"{(memory[-1] - memory[len(memory) // 4]) / MEGABYTE:+.1f} MB", "flat")
    table.add("throughput in the second after, by usual", f"{after / usual:.2f}", "1")


async def throughput(server, clients, seconds):
    done, end = 0, time.perf_counter() + seconds

    async def ask():
        nonlocal done
        client = Client(server.port)
        while time.perf_counter() < end:
            if (await client.double(1))[0] == 200:
                done += 1
        client.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return done / seconds


async def killing(table, options):
    """Workers killed at random while they are at work."""
    statuses, killed = {}, 0
    async with Server(call=0.002, workers=2, max_batch_rows=4) as server:
        end = time.perf_counter() + options.seconds
        counter = iter(range(1 << 40))

        async def ask():
            client = Client(server.port)
            while time.perf_counter() < end:
                status, code = await client.double(next(counter))
                if status != 200 and (status < 500 or code not in ("worker_died", "not_ready", "timeout")):
                    raise Failed(f"a killed worker was answered for with {status} {code}")
                statuses[status] = statuses.get(status, 0) + 1
                if status == 503:
                    await asyncio.sleep(0.01)
            client.close()

        async def kill():
            nonlocal killed
            while time.perf_counter() < end:
                await asyncio.sleep(0.2)
                if workers := server.workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(random.choice(workers), signal.SIGKILL)
                        killed += 1

        await asyncio.gather(kill(), *(ask() for _ in range(16)))
        await server.ready()
    told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    table.add(f"answers while {killed} workers were killed", told, "right, or 5xx")


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


async def hostile(table, options):
    """Slow heads, half-closed connections and mutated requests, while a neighbour must get its right answers."""
    answered, neighbours, sent = {}, 0, 0
    environment = {"MLPACK_HEAD_TIMEOUT": "2"}
    async with Server(environment=environment, timeout_ms=2000) as server:
        done = asyncio.Event()

        async def neighbour():
            nonlocal neighbours
            client, x = Client(server.port), 0
            while not done.is_set():
                if (await client.double(x := x + 1))[0] != 200:
                    raise Failed("a neighbour's request failed")
                neighbours += 1

        async def slow():
            while not done.is_set():
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    for byte in b"POST /predict HTTP/1.1\r\nx-slow: aaaaaaaaaaaaaaaaaaaa":
                        writer.write(bytes([byte]))
                        await asyncio.sleep(0.2)
                        if done.is_set():
                            break
                    writer.close()

        async def mutate(seed):
            nonlocal sent
            chance = random.Random(seed)
            for _ in range(options.requests // 16):
                status = await throw(server.port, mutated(chance))
                answered[status] = answered.get(status, 0) + 1
                sent += 1

        extras = [asyncio.create_task(task) for task in (neighbour(), *(slow() for _ in range(50)))]
        await asyncio.gather(*(mutate(seed) for seed in range(16)))
        done.set()
        await asyncio.gather(*extras)
        if (await Client(server.port).double(5))[0] != 200:
            raise Failed("the server does not answer any more")
    told = ", ".join(f"{count} × {status or 'closed'}" for status, count in sorted(answered.items()))
    table.add(f"{sent} random and mutated requests", told, "no crash, no hang")
    table.add("right answers to a neighbour meanwhile", neighbours, "all")


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


async def soak(table, options):
    """Many rows through one server, without growing."""
    size = 10_000
    body = json.dumps({"columns": {"x": list(range(size))}}).encode()
    expected = json.dumps({"columns": {"y": [2 * x + 1 for x in range(size)]}}, separators=(",", ":")).encode()
    async with Server() as server:
        client, count, early = Client(server.port), options.rows // size, None
        for number in range(count):
            status, _, answer = await client.request("POST", "/predict", body)
            if status != 200 or answer != expected:
                raise Failed(f"rows were answered with {status} {answer[:200]}")
            if number == count // 5:
                early = server.memory(), sum(map(resident, server.workers()))
        late = server.memory(), sum(map(resident, server.workers()))
        client.close()
    for what, before, after in zip(("the server's memory", "the worker's memory"), early, late, strict=True):
        table.add(f"{what}, after {count * size} rows", f"{after / MEGABYTE:.1f} MB ({(after - before) / MEGABYTE:+.1f})", "flat")


async def leaks(table, options):
    """A short run under valgrind, of a program that it can look into: the development build."""
    if not options.debug_program.exists():
        raise Failed("build it first: cargo build --bin mlpack-server")
    with tempfile.NamedTemporaryFile() as report:
        wrapper = ["valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect",
                   "--child-silent-after-fork=yes", f"--log-file={report.name}"]
        async with Server(wrapper=wrapper, program=str(options.debug_program)) as server:
            client = Client(server.port)
            for x in range(300):
                await client.double(x)
            chance = random.Random(1)
            for _ in range(300):
                await throw(server.port, mutated(chance))
            client.close()
        text = pathlib.Path(report.name).read_text()
    told = [line.split("==")[-1].strip() for line in text.splitlines() if "definitely lost:" in line or "ERROR SUMMARY" in line]
    table.add("valgrind", "; ".join(told), "nothing lost")
    if any("lost:" in line and "lost: 0 bytes" not in line for line in told) or not any("0 errors" in line for line in told):
        raise Failed(text)


CASES = {case.__name__: case for case in (start, idle, overload, killing, hostile, soak, leaks)}


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all, or some of {', '.join(CASES)}")
    parser.add_argument("--seconds", type=float, default=60, help="of overload, and of killing")
    parser.add_argument("--requests", type=int, default=100_000, help="mutated ones")
    parser.add_argument("--rows", type=int, default=24_000_000, help="for the soak")
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones")
    parser.add_argument("--debug-program", type=pathlib.Path, default=ROOT / "target" / "debug" / "mlpack-server")
    parser.add_argument("--starts", type=int, default=15)
    options = parser.parse_args()
    table = Table()
    for name in options.cases or CASES:
        try:
            await CASES[name](table, options)
        except (Failed, TimeoutError) as error:
            table.add(f"**{name}**", str(error) or "a request hung", "**failed**")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
