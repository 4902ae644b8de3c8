"""Forking: a process that has loaded the model becomes several workers, which share its memory."""

import os
import sys
import time

from .frames import REPLIES, REQUESTS, header, send

# Each pipe of a worker: its name in the message, how it is opened, and its place.
PIPES = (
    ("requests", os.O_RDONLY, REQUESTS), ("replies", os.O_WRONLY, REPLIES),
    ("stdout", os.O_WRONLY, 1), ("stderr", os.O_WRONLY, 2),
)
# A thread that has been waited for is still listed for a moment.
THREAD_CHECKS, THREAD_PAUSE = 20, 0.001


def descriptors():
    """Returns what every open descriptor leads to."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            # The one that listed them.
            pass
    return found


inherited = descriptors()


def fork(message):
    """Starts a worker on the pipes that `message` names. Returns in both processes.

    The process between the two ends at once, so that the server, which adopts orphans, becomes the worker's parent.
    """
    sys.stdout.flush()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        left = left_behind()
        ends = [(os.open(message[name], flags), place) for name, flags, place in PIPES]
        if os.fork():
            send(header("forked", left=left))
            os._exit(0)
    except OSError as error:
        send(header("failed", message=str(error)))
        os._exit(1)
    for end, place in ends:
        os.dup2(end, place, inheritable=place < REQUESTS)
        os.close(end)
    reseed()
    send(header("ready", pid=os.getpid()))


def left_behind():
    """Returns what the parent has that its forks lack or share unasked: threads, sockets and files of the model."""
    tasks = f"/proc/{os.getppid()}/task"
    # Only now: libraries that know how to fork have ended their threads for it.
    for _ in range(THREAD_CHECKS):
        threads = len(os.listdir(tasks)) - 1
        if threads == 0:
            break
        time.sleep(THREAD_PAUSE)
    opened = [target for descriptor, target in descriptors().items() if inherited.get(descriptor) != target]
    return ([f"{threads} threads"] if threads else []) + [target for target in opened if not target.startswith("/dev/")]


def reseed():
    """Gives the worker random numbers of its own; Python's `random` sees to that by itself."""
    for library in ("numpy.random", "torch"):
        if library in sys.modules:
            sys.modules[library].seed()
