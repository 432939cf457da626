"""How close we are to the golden numbers, component by component, as a Markdown table.

    python tests/parity/report.py [DIRECTORY]

runs the parity tests on a directory (without one, on the committed cases) and prints
the table after pytest's own output. Exit code: pytest's.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

WHOLE = "whole_"
HEADER = (
    "| component | cases | failed | other answer by a rule | stage by stage | floats | integers | "
    "largest difference of floats |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
)


class Collector:
    """Collects what the fixture ``agree`` notes in each test."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest after each phase of each test."""
        noted = dict(report.user_properties)
        if report.when == "call" and "parity" in noted:
            self.rows[noted["parity"]["component"]].append(noted | {"failed": report.failed})

    def table(self) -> str:
        """Markdown; whole models last."""
        names = sorted(self.rows, key=lambda name: (name.startswith(WHOLE), name))
        return "\n".join([*HEADER, *(self._line(name, self.rows[name]) for name in names)])

    def _line(self, name: str, cases: list[dict]) -> str:
        failed = sum(c["failed"] for c in cases)
        # tied objects are a choice, not another answer
        mended = sum(bool(set(c["parity"]["rules"]) - {"ties"}) for c in cases)
        parted = sum("parted" in c for c in cases)
        floats, integers = (
            sum(c.get("compared", {}).get(kind, 0) for c in cases)
            for kind in ("floats", "integers")
        )
        largest = max((c.get("largest", 0.0) for c in cases), default=0.0)
        return (
            f"| {name} | {len(cases)} | {failed} | {mended} | {parted} | {floats:,} | "
            f"{integers:,} | {largest:.2g} |"
        )


def main(arguments: list[str]) -> int:
    """Run the tests and print the table."""
    if arguments:
        os.environ["MASKRCNN_EDU_GOLDEN"] = str(Path(arguments[0]).resolve())
    collector = Collector()
    code = pytest.main([str(Path(__file__).parent), "-q", "--tb=short"], plugins=[collector])
    print(collector.table())
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
