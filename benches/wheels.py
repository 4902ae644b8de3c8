"""Imports every module that it is told of, each in a process of its own, and reports how that went."""

import subprocess
import sys


class Imports:
    def __init__(self, bundle):
        with open(bundle.artifact("modules")) as file:
            self.outcomes = {module: attempt(module) for module in file.read().split()}

    def report(self, _):
        return self.outcomes


def attempt(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True)
    if done.returncode == 0:
        return "ok"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with {done.returncode}"
