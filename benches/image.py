"""Measures mlpack on the example and prints a Markdown table. Called by image.sh; needs the standard library alone."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEGABYTE = 1e6
REQUESTS = 3000

# Times the model's own part of every request: what the request takes beyond it is the server's, whatever the machine does.
TIMED = """

class Timed(Classifier):
    times = []

    def classify(self, rows):
        import time
        start = time.perf_counter()
        result = super().classify(rows)
        self.times.append(time.perf_counter() - start)
        if len(self.times) == %d:
            print("own calls", *self.times, flush=True)
            self.times.clear()
        return result
"""
TOLD_AT_ONCE = 100

TINY_MANIFEST = """apiVersion: mlpack/v1
name: large
version: 1.0.0
runtime: {language: python, version: "3.11"}
service: service.py:Service
artifacts: {weights: weights.bin}
endpoints:
  call:
    task: custom
    input: {type: json}
    output: {type: json}
"""

TINY_SERVICE = """class Service:
    def __init__(self, bundle):
        pass

    def call(self, value):
        return value
"""


class Bench:
    """mlpack with a folder for everything that it makes."""

    def __init__(self, program, folder, runs):
        self.program, self.folder, self.runs = program, pathlib.Path(folder), runs
        self.home = self.folder / "home"
        self.project = self.folder / "project"
        self.peak = 0

    def run(self, *arguments, home=None):
        """Runs mlpack; returns the seconds it took and what it printed, and keeps its peak memory."""
        environment = {**os.environ, "MLPACK_HOME": str(home or self.home)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen([self.program, *map(str, arguments)], stdout=out, stderr=errors, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            elapsed = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0), errors.seek(0)
            if status:
                sys.exit(f"mlpack {' '.join(map(str, arguments))}:\n{errors.read().decode()}")
            self.peak = usage.ru_maxrss * 1024
            return elapsed, out.read().decode()

    def build(self, *options, home=None):
        return self.run("build", self.project / "manifest.yaml", "--offline", *options, home=home)

    def median(self, measure):
        return statistics.median(measure(number) for number in range(self.runs))

    def prepare(self):
        """Copies the example, and locks and builds it over the network."""
        shutil.copytree(ROOT / "examples/b2x-python", self.project, ignore=shutil.ignore_patterns("large.joblib", "*.lock"))
        self.run("build", self.project / "manifest.yaml")

    def fresh_home(self, number):
        """Returns a home with the downloads and nothing made of them."""
        home = self.folder / f"home-{number}"
        blobs = home / "cache/blobs/sha256"
        blobs.mkdir(parents=True)
        lock = tomllib.loads((self.project / "mlpack.lock").read_text())
        for locked in lock["platforms"].values():
            for package in locked["package"]:
                name = package["sha256"].removeprefix("sha256:")
                os.link(self.home / "cache/blobs/sha256" / name, blobs / name)
        return home

    def first(self, number):
        home = self.fresh_home(number)
        elapsed, _ = self.build("--locked", home=home)
        shutil.rmtree(home)
        return elapsed

    def edited(self, *options):
        with (self.project / "service.py").open("a") as file:
            file.write("\n# changed")
        return self.build(*options)[0]

    def sizes(self):
        result = json.loads(self.run("--json", "inspect", "b2x-classifier:1.0.0")[1].splitlines()[-1])["result"]
        layers = result["images"][0]["layers"]
        return sum(layer["size"] for layer in layers), sum(layer["uncompressed"] for layer in layers)

    def memory(self, gigabytes):
        """Returns the peak memory of building with an artifact of random bytes."""
        folder = self.folder / f"large-{gigabytes}"
        folder.mkdir()
        (folder / "manifest.yaml").write_text(TINY_MANIFEST)
        (folder / "service.py").write_text(TINY_SERVICE)
        with (folder / "weights.bin").open("wb") as file:
            for _ in range(gigabytes << 4):
                file.write(os.urandom(1 << 26))
        self.run("build", folder / "manifest.yaml")
        peak = self.peak
        shutil.rmtree(folder)
        self.run("rm", "large:1.0.0")
        self.run("gc")
        return peak

    def serve(self):
        """Returns the server's own memory, and the median times of a request, of the model's own call in it, and of the rest."""
        project = self.folder / "timed"
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self.project, project)
        with (project / "service.py").open("a") as file:
            file.write(TIMED % TOLD_AT_ONCE)
        manifest = project / "manifest.yaml"
        manifest.write_text(manifest.read_text().replace("service.py:Classifier", "service.py:Timed"))
        port = free_port()
        environment = {**os.environ, "MLPACK_HOME": str(self.home)}
        log = self.folder / "serve.log"
        command = [self.program, "serve", manifest, "--offline", "--port", str(port)]
        with running(command, log, environment) as process:
            connection = connect(port, "/readyz", process, log)
            idle = resident(process.pid, "mlpack-server")
            times = [request(connection) for _ in range(REQUESTS)]
        own = [float(time) for line in re.findall(r"own calls ([0-9. e-]+)", log.read_text()) for time in line.split()]
        rest = [through - call for through, call in zip(times, own, strict=True)]
        return idle, *map(statistics.median, (times, own, rest))


@contextlib.contextmanager
def running(command, log, environment=None):
    with open(log, "wb") as file:
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def exchange(connection, message):
    """Sends a request and returns the answer; by hand, since http.client takes longer than the server does."""
    connection.sendall(message)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += received(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += received(connection)
    return head


def received(connection):
    part = connection.recv(1 << 16)
    if not part:
        raise ConnectionError("the server closed the connection")
    return part


def connect(port, path, process, log):
    """Waits until the path is answered with 200, and returns the connection."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if b" 200 " in exchange(connection, f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()):
                return connection
            connection.close()
        time.sleep(0.05)
    sys.exit(f"nothing answers:\n{log.read_text()}")


def request(connection):
    body = json.dumps({"rows": [{"name": "UAB Baltijos Prekyba"}]}).encode()
    head = f"POST /classify HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    message = head.encode() + body
    start = time.perf_counter()
    answer = exchange(connection, message)
    elapsed = time.perf_counter() - start
    if b" 200 " not in answer:
        sys.exit(answer.decode())
    return elapsed


def resident(root, name):
    """Returns the resident memory of the process of that name below `root`."""
    parents, names = {}, {}
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(re.findall(r"(?m)^(\w+):\s*(\S+)", status.read_text()))
            pid = int(fields["Pid"])
            parents[pid], names[pid] = int(fields["PPid"]), (fields["Name"], int(fields.get("VmRSS", 0)) * 1024)
    for pid, (found, memory) in names.items():
        above = pid
        while above not in (root, 0):
            above = parents.get(above, 0)
        if above == root and found == name:
            return memory
    sys.exit(f"no {name} is running")


@contextlib.contextmanager
def registry(folder):
    port = free_port()
    configuration = folder / "registry.yml"
    configuration.write_text(json.dumps({
        "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}}, "http": {"addr": f"127.0.0.1:{port}"},
    }))
    log = folder / "registry.log"
    with running(["docker-registry", "serve", configuration], log) as process:
        connect(port, "/v2/", process, log).close()
        yield f"127.0.0.1:{port}"


def rows(bench):
    """Measures one thing after the other; yields what it is, its value, its goal, and whether the goal is met."""
    def seconds(name, value, goal):
        return name, f"{value:.2f} s", f"≤ {goal} s", value <= goal

    def megabytes(name, value, goal):
        return name, f"{value / MEGABYTE:.1f} MB", f"≤ {goal} MB", value <= goal * MEGABYTE

    bench.prepare()
    yield seconds("first build, downloads cached", bench.median(bench.first), 10)
    yield seconds("nothing changed", bench.median(lambda _: bench.build()[0]), 0.1)
    yield seconds("service file edited", bench.median(lambda _: bench.edited()), 0.3)
    with registry(bench.folder) as address:
        name = f"{address}/b2x:1"
        bench.edited("--tag", name, "--push")
        pushed = bench.median(lambda _: bench.edited("--tag", name, "--push"))
    yield seconds("service file edited, with push to a local registry", pushed, 0.8)
    packed, unpacked = bench.sizes()
    yield megabytes("image, packed", packed, 130)
    yield megabytes("image, unpacked", unpacked, 400)
    for gigabytes in (1, 4):
        yield megabytes(f"peak memory with an artifact of {gigabytes} GiB", bench.memory(gigabytes), 256)
    served = [bench.serve() for _ in range(bench.runs)]
    idle, through, own, cost = (statistics.median(values) for values in zip(*served))
    yield megabytes("idle `mlpack-server`, its workers aside", idle, 10)
    yield "one request through the server, p50, one client", f"{through * 1e3:.3f} ms", "", None
    yield "the model's own call in it, p50", f"{own * 1e3:.3f} ms", "", None
    costs = sorted(rest * 1e3 for *_, rest in served)
    spread = f"{cost * 1e3:.3f} ms ({costs[0]:.3f} to {costs[-1]:.3f})"
    yield "what the server adds, p50 of the differences", spread, "≤ 0.15 ms", cost <= 0.15e-3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", default=ROOT / "target", help="where everything is written")
    options = parser.parse_args()
    print(f"Linux {platform.release()}, {len(os.sched_getaffinity(0))} cores; medians of {options.runs} runs, "
          f"requests: of {REQUESTS}.\n")
    print("| measured | value | goal | met |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as folder:
        for name, value, goal, met in rows(Bench(options.program, folder, options.runs)):
            print(f"| {name} | {value} | {goal} | {'' if met is None else 'yes' if met else '**no**'} |", flush=True)


if __name__ == "__main__":
    main()
