"""Compiles Python modules for an image.

Runs with the image's interpreter, inside the image's file tree. Reads absolute paths from standard input, one a line,
and writes each compiled module below the folder named by the first argument, where Python looks for it later. The second
argument is the number of processes. Names each module that does not compile on standard output: packages carry templates
and code for other versions.
"""

import importlib.util
import os
import sys
from importlib._bootstrap_external import SourceFileLoader, _code_to_hash_pyc


def compile_module(path, output):
    with open(path, "rb") as file:
        source = file.read()
    code = SourceFileLoader("<module>", path).source_to_code(source, path, _optimize=0)
    # Unchecked: the image is read-only, and the check would cost a hash of the source on every import.
    compiled = _code_to_hash_pyc(code, importlib.util.source_hash(source), checked=False)
    target = output + importlib.util.cache_from_source(path, optimization="")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(compiled)


def compile_all(paths, output):
    for path in paths:
        try:
            compile_module(path, output)
        except (SyntaxError, ValueError, OverflowError, RecursionError) as error:
            message = f"{path}\t{type(error).__name__}\n"
            os.write(1, message.encode("utf-8", "backslashreplace"))


def main():
    output, processes = sys.argv[1], int(sys.argv[2])
    paths = sys.stdin.buffer.read().decode("utf-8").splitlines()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                compile_all(paths[number::processes], output)
                status = 0
            except Exception:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    sys.exit(1 if failed else 0)


main()
