"""Measures how much memory workers take that share a loaded model, and prints a Markdown table. Called by memory.sh."""

import contextlib
import glob
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from image import free_port, running

MEGABYTE = 1 << 20
CALLS = 50
GOAL = 1.3

MANIFEST = """apiVersion: mlpack/v1
name: memory-{language}
version: 1.0.0
runtime: {{language: {language}, version: "{version}"}}
service: {service}
endpoints:
  call:
    task: custom
    input: {{type: json}}
    output: {{type: json}}
server: {{workers: {workers}}}
"""

# Each holds 500 MB in 119 large vectors, as a forest does, and in 5,000 small ones; a call reads all of it.
SERVICES = {
    "python": ("3.11", "service.py:Service", """import array
import os


class Service:
    def __init__(self, bundle):
        self.trees = [array.array("d", os.urandom(8 << 19)) for _ in range(119)]
        self.names = {f"feature {number}": [number, str(number)] for number in range(5_000)}

    def call(self, value):
        return sum(tree[::512][0] > value for tree in self.trees) + sum(pair[0] == value for pair in self.names.values())
"""),
    "r": ("4.2", "service.R", """load <- function(bundle) {
  numbers <- 1:5000
  list(
    trees = lapply(1:119, function(tree) runif(524288)),
    names = stats::setNames(lapply(numbers, function(number) c(number, number)), paste("feature", numbers))
  )
}

call <- function(state, value) {
  sum(vapply(state$trees, sum, 0) > value) + sum(vapply(state$names, function(pair) pair[1L] == value, NA))
}
"""),
}


def family(root):
    """Returns a process and all below it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in glob.glob(f"/proc/{pid}/task/*/children"):
            waiting += map(int, pathlib.Path(children).read_text().split())
    return found


def name(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def proportional(pid):
    """Returns the bytes of a process, with what it shares divided among those that share it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def call(port):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/call", b"7", {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=60).read()


def ready(port, workers):
    with contextlib.suppress(OSError):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60).read().decode()
        return f'"ready":{workers}' in page.replace(" ", "")
    return False


def measure(program, folder, language, workers):
    """Returns the memory of a service whose workers have all been called many times."""
    version, service, code = SERVICES[language]
    project = folder / f"{language}-{workers}"
    project.mkdir()
    (project / "manifest.yaml").write_text(
        MANIFEST.format(language=language, version=version, service=service, workers=workers)
    )
    (project / service.partition(":")[0]).write_text(code)
    subprocess.run([program, "build", "-q", project / "manifest.yaml"], check=True, stdout=subprocess.DEVNULL)
    port, log = free_port(), project / "serve.log"
    with running([program, "serve", project / "manifest.yaml", "--offline", "--port", port], log) as process:
        end = time.monotonic() + 300
        while not ready(port, workers):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the workers are not ready:\n{log.read_text()}")
            time.sleep(0.1)
        clients = [
            threading.Thread(target=lambda: [call(port) for _ in range(CALLS)]) for _ in range(2 * workers)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server = next(pid for pid in family(process.pid) if name(pid) == "mlpack-server")
        return sum(map(proportional, family(server)))


def main():
    program = sys.argv[1]
    print("| language | one worker | four workers | ratio | goal | met |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("MLPACK_HOME", f"{folder}/home")
        for language in SERVICES:
            one, four = (measure(program, pathlib.Path(folder), language, workers) for workers in (1, 4))
            met = "yes" if four / one < GOAL else "**no**"
            print(f"| {language} | {one / MEGABYTE:.0f} MiB | {four / MEGABYTE:.0f} MiB | {four / one:.2f} "
                  f"| < {GOAL} | {met} |", flush=True)


if __name__ == "__main__":
    main()
