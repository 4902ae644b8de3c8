"""Does all that a service can do wrong; `tiny-r` does the same in R."""

import ctypes
import os
import re
import signal
import sys
import time


class InputError(Exception):
    pass


class Service:
    def __init__(self, bundle):
        self.kept = []

    def call(self, value):
        if "echo" in value:
            return value["echo"]
        return getattr(self, value["do"])()

    def allocate(self):
        return len(bytearray(8 * 10**12))

    def compute(self):
        # In C, where no other thread runs meanwhile, for longer than anybody waits.
        return re.match("(a+)+$", "a" * 64 + "b") is None

    def crash(self):
        return ctypes.string_at(0)

    def devour(self):
        while True:
            self.kept.append(b"x" * 2**24)

    def die(self):
        # As the kernel does where memory is short.
        os.kill(os.getpid(), signal.SIGKILL)

    def fail(self):
        return inner("a")

    def hang(self):
        time.sleep(1000)

    def intrude(self):
        # What belongs to the server, where its library writes by mistake.
        os.write(4, b"\xff" * 64)
        time.sleep(1000)

    def missing(self):
        import notthere

        return notthere.value

    def print(self):
        for _ in range(100_000):
            print("x" * 99)
        print("the last line", file=sys.stderr)
        return "printed"

    def quit(self):
        sys.exit(3)

    def refuse(self):
        raise InputError("too young")

    def wrong(self, rows):
        return {
            "rows": {"y": [1, 2, 3]}, "columns": {"z": [1]}, "missing": {"y": [None]}, "type": {"y": ["a"]}, "frame": "a",
        }[rows["what"][0]]


def inner(value):
    return value + 1
