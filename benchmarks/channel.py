"""Channel: a process that works when it is told to, and is gone when the block ends."""

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


class Channel:
    """Another process; requests and answers are JSON, one line each.

    Args:
        name: what errors call it.
        command: the program and its arguments.
        environment: its variables.
        cure: what errors end with.

    Raises:
        OSError: there is no such program.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], cure: str = ""
    ):
        self.name, self.cure = name, cure
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

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request, wait for its answer.

        Raises:
            ValueError: the process ended instead; the message holds its last words.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:  # no answer, or one that is no JSON
            raise ValueError(f"{self.name} ended at {do!r}: {self._last_words()}") from error

    def _last_words(self) -> str:
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        said = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        errors = [i for i, line in enumerate(said) if ERROR.match(line)]
        words = " ".join(said[errors[-1] if errors else -1 :])
        return (words or f"it said nothing ({self.process.returncode})") + self.cure

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # a request that nobody read
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
