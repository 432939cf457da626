"""An attempt on something hostile, made in a child of this process."""

import json
import os
import re
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

try:
    import resource
except ImportError:  # Windows has none
    resource = None


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt: the error's kind ("" if there was none), and its price."""

    error: str
    message: str
    seconds: float
    megabytes: int  # beyond what the process had before

    def matches(self, pattern):
        return re.search(pattern, self.message, re.DOTALL)


def _attempt(function, *arguments, seconds=20, memory=2 << 30):
    """Call a function in a child of this process, which may crash, hang, or want all memory."""
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(writer, memory, function, arguments)
    os.close(writer)
    if not select.select([reader], [], [], seconds)[0]:
        os.kill(child, signal.SIGKILL)
    with open(reader, encoding="utf-8") as file:
        said = file.read()
    status = os.waitpid(child, 0)[1]
    error, message, megabytes = json.loads(said) if said else ("died", f"status {status}", 0)
    return Outcome(error, message, time.monotonic() - start, megabytes)


def _child(writer, memory, function, arguments):
    size, before = (int(n) << 12 for n in Path("/proc/self/statm").read_text().split()[:2])
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, -1))
    try:
        function(*arguments)
        error = "", ""
    except BaseException as problem:
        error = type(problem).__name__, str(problem)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    os.write(writer, json.dumps([*error, (peak - before) // 10**6]).encode())
    os._exit(0)


@pytest.fixture
def attempt():
    """A function that calls another one safely and returns an `Outcome`; Linux only."""
    if resource is None or not Path("/proc/self/statm").exists():
        pytest.skip("a child with a limit of memory needs the module resource, and /proc")
    return _attempt
