"""Where a function of the package lives, its source text, and a version of other text."""

from __future__ import annotations

import importlib
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

PACKAGE = "maskrcnn_edu"
FUTURE = "from __future__ import annotations"  # every module begins with it


@dataclass(frozen=True)
class Place:
    """One function of a module, or one method of a class, as it is now.

    Attributes:
        module: where it is defined.
        owner: the method's class; None for a function of the module.
        name: its name there.
    """

    module: ModuleType
    owner: type | None
    name: str

    @staticmethod
    def find(place: str) -> Place:
        """The place ``module:function`` or ``module:Class.method``.

        Raises:
            ImportError, AttributeError, KeyError: there is no such module, class or function.
        """
        module_name, path = place.split(":")
        module = importlib.import_module(f"{PACKAGE}.{module_name}")
        *owner, name = path.split(".")
        result = Place(module, getattr(module, owner[0]) if owner else None, name)
        assert callable(result.function)
        return result

    @property
    def function(self) -> Callable:
        """What stands there now, with its decorators."""
        return vars(self.owner or self.module)[self.name]

    @property
    def source(self) -> str:
        """Its source text as in the file: decorators, indentation and all."""
        return "".join(inspect.getsourcelines(self.function)[0])

    def compiled(self, source: str, label: str) -> Callable:
        """The function that stood here if this were its source text; nothing is replaced.

        It sees the module's own names, has the line numbers that it would have in the
        file, and `inspect.getsource` shows the given text.

        Args:
            source: indented as in the file.
            label: name of this version, part of the name of a file that does not exist.
        """
        lines, first = inspect.getsourcelines(self.function)
        file_name = f"<{label}: {self.module.__name__}:{self.name}>"
        _remember(file_name, self._whole_text(), first - 1, len(lines), source)
        # a method is compiled within a class of the same name: its indentation is right then,
        # and so is its qualified name
        head = f"class {self.owner.__name__}:\n" if self.owner else ""
        text = FUTURE + "\n" * (first - 1 - bool(head)) + head + source
        scope: dict = {}
        exec(compile(text, file_name, "exec", dont_inherit=True), vars(self.module), scope)
        return vars(scope[self.owner.__name__])[self.name] if self.owner else scope[self.name]

    def _whole_text(self) -> list[str]:
        """The lines of the file that the present version comes from."""
        file = inspect.getsourcefile(inspect.unwrap(self.function))
        return linecache.getlines(file, vars(self.module))


def _remember(file_name: str, lines: list[str], start: int, count: int, source: str) -> None:
    """Keep a file's text for `inspect` and tracebacks, with ``count`` lines replaced."""
    text = [*lines[:start], *source.splitlines(keepends=True), *lines[start + count :]]
    # None for the time of change: there is no file to check it against
    linecache.cache[file_name] = (sum(map(len, text)), None, text, file_name)
