"""Puts mlpack-server under stress on the loopback interface, each kind for a bounded time, and prints a Markdown table.

It ends with 1 where an answer was wrong, a request hung or the server ended. Figures are printed beside their goals; they
decide nothing, since they depend on the machine. Called by robust.sh and, in short form, by the tests; needs the standard
library alone.
"""

import argparse
import asyncio
import pathlib
import sys

from cases import CASES
from client import Failed

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Table:
    """What was seen, a line for each thing."""

    def __init__(self):
        print("| seen | value | goal |\n|---|---|---|", flush=True)

    def add(self, what, value, goal=""):
        print(f"| {what} | {value} | {goal} |", flush=True)


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
