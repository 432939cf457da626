"""python -m instructor.make_mistakes: what every known mistake gives, for the checker.

The checker names a mistake by its results, so that neither the right answers nor the wrong
ones need be in the package. To be run when a case, an answer or a mistake has changed;
`tests/teaching/test_exercises.py` says when.
"""

from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import numpy as np

from instructor.answers import compiled, wrong_answers
from maskrcnn_edu.teaching.exercises.check import EXERCISES, MISTAKES
from maskrcnn_edu.teaching.exercises.compare import difference
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def results_of_mistakes(exercise: Exercise) -> dict[str, list[list]]:
    """Words for a mistake -> version by version, its results for the cases.

    None stands where the result is the right one.

    Raises:
        ValueError: a mistake makes no difference in any case, or two make the same.
    """
    right = [exercise.truth(*case) for case in exercise.cases]
    found: dict[str, list[list]] = {}
    for words, source in wrong_answers(exercise.name):
        answer = compiled(exercise.name, source)
        values = [_quiet(answer, case) for case in exercise.cases]
        made = [
            _plain(v) if difference(v, r, exercise.tolerance) else None
            for v, r in zip(values, right)
        ]
        _require_new(exercise, words, made, found)
        found.setdefault(words, []).append(made)
    return found


def _require_new(exercise: Exercise, words: str, made: list, others: dict) -> None:
    if all(value is None for value in made):
        raise ValueError(f"{exercise.name}, {words!r}: right in all cases")
    for other, versions in others.items():
        for version in versions if other != words else []:
            same = [
                (v is None) == (m is None) and (v is None or not difference(m, v, 1e-6))
                for v, m in zip(version, made)
            ]
            if all(same):
                raise ValueError(f"{exercise.name}: {words!r} is like {other!r}")


def _quiet(answer: Any, case: tuple) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return answer(*copy.deepcopy(case))


def _plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts, of twelve digits at most."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return float(f"{value:.12g}") if isinstance(value, float) else value


def main() -> None:
    """Write the file beside the checker, one line for each version of a mistake."""
    blocks = []
    for exercise in EXERCISES.values():
        entries = [
            f"{json.dumps(words)}: [\n{_lines(versions)}]"
            for words, versions in results_of_mistakes(exercise).items()
        ]
        blocks.append(f'"{exercise.name}": {{\n' + ",\n".join(entries) + "}")
    MISTAKES.write_text("{" + ",\n".join(blocks) + "}\n", encoding="utf-8")


def _lines(versions: list[list]) -> str:
    return ",\n".join(json.dumps(version, separators=(",", ":")) for version in versions)


if __name__ == "__main__":
    main()
