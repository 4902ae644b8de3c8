"""The kinds of stress: each runs for a bounded time, and adds what was seen to a table."""

import asyncio
import contextlib
import json
import os
import pathlib
import random
import resource
import signal
import statistics
import tempfile
import time

from client import Client, Failed, once, throw
from mutation import mutated
from server import Server, resident, worker_alone

MEGABYTE = 1e6


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


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
                        if done.is_set() or writer.is_closing():
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
