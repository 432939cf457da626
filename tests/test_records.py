"""Records cannot be changed after they were made, but for those that count or collect."""

import dataclasses
import importlib
import pkgutil

import maskrcnn_edu

CHANGING = {
    "maskrcnn_edu.training.run_folder.History",
    "maskrcnn_edu.training.run_folder.BestWeights",
    "maskrcnn_edu.teaching.exercises.outcome.Outcome",
    "maskrcnn_edu.data.validation._Check",
}


def test_records_are_frozen():
    changing, frozen = set(), 0
    for found in pkgutil.walk_packages(maskrcnn_edu.__path__, "maskrcnn_edu."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                if value.__module__ != found.name:
                    continue
                frozen += value.__dataclass_params__.frozen
                if not value.__dataclass_params__.frozen:
                    changing.add(f"{found.name}.{name}")
    assert changing == CHANGING and frozen > 80
