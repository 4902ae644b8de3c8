"""Starts a server, loads it with wrk, and looks at what its processes take."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
# Servers may load a model and compile it; nothing here needs as long.
PATIENCE = 120


class Failed(Exception):
    """A server could not be started, or answers wrongly."""


class Ended(Failed):
    """A server ended by itself."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, folder, environment):
    """Runs a server in a process group of its own, which ends with the block."""
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **environment}, start_new_session=True)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def log_end(folder):
    lines = (folder / "server.log").read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def post(port, request):
    message = urllib.request.Request(f"http://127.0.0.1:{port}{request.path}", request.body, request.headers)
    with urllib.request.urlopen(message, timeout=60) as answer:
        return answer.read()


def first_answer(process, port, request, folder):
    """Waits until the request is answered with success, and returns the answer."""
    end, last = time.monotonic() + PATIENCE, "nothing listens"
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Ended(f"it ended: {log_end(folder)}")
        try:
            return post(port, request)
        except urllib.error.HTTPError as error:
            if error.code in (400, 415, 422):
                raise Failed(f"it takes no such request: {error.code} {error.read()[:200]!r}") from error
            last = f"{error.code} {error.read()[:200]!r}"
        except OSError as error:
            last = str(error)
        time.sleep(0.2)
    raise Failed(f"no answer within {PATIENCE} s: {last}; {log_end(folder)}")


def family(root):
    """Returns the process and all below it."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_seconds(root):
    """Returns the processor time of the process and all below it so far, by process."""
    times = {}
    for pid in family(root):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            times[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return times


def memory(root):
    """Returns the bytes of memory of the process and all below it; shared pages count once (PSS)."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def wrk(port, request, folder, clients, seconds):
    """Sends the request for some seconds and returns what wrk measured."""
    body = folder / "request.body"
    body.write_bytes(request.body)
    headers = [text for header in request.headers.items() for text in header]
    output = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", HERE / "request.lua",
         f"http://127.0.0.1:{port}{request.path}", "--", body, *headers],
        capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    return json.loads(output.splitlines()[-1])


def load(process, port, request, folder, clients, seconds):
    """Loads the server and returns wrk's figures with the CPU (in processors) and the memory taken."""
    before, start = cpu_seconds(process.pid), time.monotonic()
    figures = wrk(port, request, folder, clients, seconds)
    elapsed, after = time.monotonic() - start, cpu_seconds(process.pid)
    figures["cpu"] = sum(after[pid] - before.get(pid, 0) for pid in after) / elapsed
    figures["memory"] = memory(process.pid)
    return figures
