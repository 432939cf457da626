"""Another process that answers calls, and is gone when the block ends."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
"""How the line begins that ends a traceback."""


class Worker:
    """A process that answers calls; both are JSON, one line each.

    Args:
        name: what errors call it.
        command: the program and its arguments.
        environment: its variables.
        fix: what to do about errors; they end with it.

    Raises:
        OSError: there is no such program.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], fix: str = ""
    ):
        self.name, self.fix = name, fix
        # closed at the end of the block
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.errors, env=dict(environment), text=True, encoding="utf-8",
            )  # fmt: skip
        except OSError as error:
            self.errors.close()
            raise OSError(f"{name}: {command[0]} cannot be started: {error.strerror}") from error

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request, wait for the answer.

        Args:
            do: what the worker shall do.
            arguments: of that, as JSON can hold them.

        Raises:
            ValueError: the process ended instead; the message quotes its last lines.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:  # no answer, or one that is no JSON
            raise ValueError(f"{self.name} ended at {do!r}: {self._end_of_stderr()}") from error

    def _end_of_stderr(self) -> str:
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        errors = [i for i, line in enumerate(lines) if ERROR.match(line)]
        last = " ".join(lines[errors[-1] if errors else -1 :])
        return (last or f"it printed nothing ({self.process.returncode})") + self.fix

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # a request that nobody read
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
