"""Serves the same models with mlpack and its peers in turn, loads each, and writes a report in Markdown. See peers.sh."""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from measure import Ended, Failed, first_answer, free_port, load, running
from subjects import SCIKIT, SINGLE, SUBJECTS

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Point:
    """One thing that is measured; `rounds` is how often at the most."""

    title: str
    kind: str
    rows: int
    clients: int
    form: str = "json"
    rounds: int = 99
    # What mlpack is to reach: requests a second at least, milliseconds at most.
    rate: float = None
    p50_above_call: float = None
    p99: float = None


POINTS = [
    Point("Pipeline, one row, 1 client", "pipeline", 1, 1, rate=1_600, p50_above_call=0.15),
    Point("Pipeline, one row, 32 clients", "pipeline", 1, 32, rate=16_000, p99=4),
    Point("Pipeline, 1,000 rows, 1 client", "pipeline", 1000, 1, rounds=1),
    Point("Pipeline, 8,192 rows (1 MiB of doubles) as JSON, 1 client", "pipeline", 8192, 1, rounds=1),
    Point("Pipeline, 8,192 rows (1 MiB of doubles) as bytes, 1 client", "pipeline", 8192, 1, "binary", rounds=1),
    Point("Random forest of 200 trees, one row, 1 client", "forest", 1, 1, rounds=1),
    Point("Random forest of 200 trees, one row, 32 clients", "forest", 1, 32, rounds=1),
    Point("Random forest of 200 trees, one row, 256 clients", "forest", 1, 256, rounds=1),
    Point("R: glm, one row, 1 client", "glm", 1, 1, rate=800, p50_above_call=0.25),
    Point("R: glm, one row, 32 clients", "glm", 1, 32, rate=10_000, p99=8),
]


class Run:
    """The measurements so far."""

    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)
        self.figures = collections.defaultdict(list)
        self.calls = collections.defaultdict(list)
        self.failures = {}
        self.versions = {}

    def tell(self, text):
        print(f"[{time.monotonic() - self.options.start:5.0f} s] {text}", file=sys.stderr, flush=True)

    def subjects(self):
        """Returns the subjects that could be installed."""
        for kind in SUBJECTS:
            if self.options.only and kind.name not in self.options.only:
                continue
            subject = kind(self.options.environments)
            self.tell(f"installing {subject.name}")
            try:
                self.versions[subject.name] = subject.install()
                yield subject
            except (Failed, OSError) as error:
                self.failures[subject.name, "installing"] = str(error)

    def serve(self, subject, kind, number):
        """Starts the subject with a model and measures all points of it."""
        points = [point for point in POINTS
                  if point.kind == kind and point.form in subject.forms and number < point.rounds]
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        calls = subject.train(folder, kind, sorted({point.rows for point in points}))
        for rows, time_of_call in calls.items():
            self.calls[subject.name, kind, int(rows)].append(time_of_call)
        port = free_port()
        with running(subject.command(folder, port), folder, {**SINGLE, **subject.environment}) as process:
            for point in points:
                try:
                    self.figures[point, subject.name].append(self.measure(subject, point, process, port, folder))
                except Ended:
                    raise
                except (Failed, subprocess.SubprocessError, ValueError, KeyError) as error:
                    self.failures[subject.name, point.title] = f"{type(error).__name__}: {error}"[:400]

    def measure(self, subject, point, process, port, folder):
        """Checks an answer, and loads the server."""
        rows = json.loads((folder / f"rows-{point.rows}.json").read_text())
        request = subject.request(rows, point.form)
        answer = subject.answer(first_answer(process, port, request, folder), point.form)
        expected = [row[1] for row in json.loads((folder / f"answers-{point.rows}.json").read_text())]
        if len(answer) != len(expected) or any(abs(a - b) > subject.tolerance for a, b in zip(answer, expected)):
            raise Failed(f"the answer is wrong: {str(answer[:3])[:200]}, not {expected[:3]}")
        load(process, port, request, folder, point.clients, subject.warm_up)
        figures = load(process, port, request, folder, point.clients, self.options.seconds)
        self.tell(f"{subject.name}: {point.title}: {figures['rate']:.0f}/s, p50 {figures['p50']:.2f} ms, "
                  f"p99 {figures['p99']:.2f} ms, refused {figures['refused']}, broken {figures['broken']}")
        return figures

    def all(self):
        subjects = list(self.subjects())
        for number in range(self.options.rounds):
            for subject in subjects:
                for kind in subject.kinds:
                    if not any(point.kind == kind and number < point.rounds for point in POINTS):
                        continue
                    try:
                        self.serve(subject, kind, number)
                    except (Failed, OSError, ValueError) as error:
                        self.failures[subject.name, f"serving the {kind}"] = str(error)[:400]
                        self.tell(f"{subject.name}: {error}")


def spread(values, form):
    """Writes a median with its spread."""
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


def table(run, point):
    """Yields the lines of a point's table, unless nobody was measured."""
    if not any(figures for (measured, _), figures in run.figures.items() if measured == point):
        return
    yield f"\n## {point.title}\n"
    yield "| | requests/s | p50, ms | p99, ms | p99.9, ms | processors | memory, MB | failed |"
    yield "|---|---|---|---|---|---|---|---|"
    for subject in SUBJECTS:
        figures = run.figures.get((point, subject.name))
        if not figures:
            continue
        column = lambda name: [figure[name] for figure in figures]
        answers, failed = sum(column("answers")), sum(column("refused")) + sum(column("broken"))
        accepted = [figure["rate"] * (1 - figure["refused"] / max(figure["answers"], 1)) for figure in figures]
        rate = spread(accepted, "{:,.0f}")
        # A refusal is quick: the times of many would mean nothing.
        cells = [spread(column(name), "{:,.2f}") if failed <= answers / 100 else "–" for name in ("p50", "p99", "p999")]
        memory = statistics.median(column("memory")) / 1e6
        share = f"{failed / max(answers, 1):.1%}" if failed else ""
        yield f"| {subject.name} | {rate} | {' | '.join(cells)} | {spread(column('cpu'), '{:.2f}')} | {memory:.0f} | {share} |"


def goals(run):
    """Yields the lines that compare mlpack with its goals."""
    yield "\n## Goals\n"
    yield "| | measured | goal | met |"
    yield "|---|---|---|---|"
    for point in POINTS:
        name = "mlpack (R)" if point.kind == "glm" else "mlpack"
        figures = run.figures.get((point, name))
        if not figures:
            continue
        middle = lambda of: statistics.median(figure[of] for figure in figures)
        call = statistics.median(run.calls[name, point.kind, point.rows])
        wanted = [("requests/s", "rate", point.rate, point.rate and middle("rate") >= point.rate, "≥"),
                  ("p50, ms", "p50", point.p50_above_call and call + point.p50_above_call, None, "≤"),
                  ("p99, ms", "p99", point.p99, None, "≤")]
        for title, of, goal, met, sign in wanted:
            if goal:
                met = middle(of) <= goal if met is None else met
                why = f" (a call takes {call:.2f})" if of == "p50" else ""
                yield f"| {point.title}: {title} | {middle(of):,.2f} | {sign} {goal:,.2f}{why} | {'yes' if met else '**no**'} |"


def report(run):
    """Yields the lines of the report."""
    options = run.options
    processor = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    yield "# mlpack and its peers\n"
    yield f"Written by `sh benches/peers.sh{''.join(' ' + word for word in options.words)}`: {options.rounds} round{'s' * (options.rounds > 1)}, " \
          f"{options.seconds} s for each point after a warm-up, medians with their range. Each subject has one worker, each call one " \
          f"thread; wrk runs on the same machine: Linux {platform.release()}, {len(os.sched_getaffinity(0))} cores" \
          f"{', ' + processor if processor else ''}, load {os.getloadavg()[2]:.1f}. Every subject's first answer was compared " \
          f"with the model's own.\n"
    yield "“Processors” is the CPU time that all processes of a subject took, by the clock; “memory” is theirs after the load, " \
          "shared pages counted once. Refused requests do not count as answered; who refuses more than 1 % has no times.\n"
    yield f"Versions: {', '.join(sorted(set(run.versions.values())))}; scikit-learn {SCIKIT.partition('==')[2]}.\n"
    calls = sorted({(kind, rows) for _, kind, rows in run.calls})
    yield "The model's own call, ms, the best of all subjects: " + "; ".join(
        f"{kind}, {rows:,} row{'s' * (rows > 1)}: "
        f"{min(statistics.median(times) for (_, *call), times in run.calls.items() if call == [kind, rows]):.2f}"
        for kind, rows in calls) + "."
    for point in POINTS:
        yield from table(run, point)
    if run.calls.keys() & {(name, point.kind, point.rows) for point in POINTS for name in ("mlpack", "mlpack (R)")}:
        yield from goals(run)
    if run.failures:
        yield "\n## What failed\n"
        for (name, what), why in run.failures.items():
            yield f"- {name}, {what}: {' '.join(why.split())}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=5, help="how long each point is loaded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[kind.name for kind in SUBJECTS], metavar="NAME",
                        help="a subject's name; may be given several times")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benches/peers.md")
    parser.add_argument("--environments", type=pathlib.Path, default=ROOT / "target/peers")
    options = parser.parse_args()
    # The servers end with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options.start, options.words = time.monotonic(), sys.argv[2:]
    os.environ["MLPACK"] = options.program
    options.environments.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "target", prefix="bench-") as folder:
        run = Run(options, folder)
        run.all()
        options.output.write_text("\n".join(report(run)) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
