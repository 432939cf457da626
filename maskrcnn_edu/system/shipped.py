"""Folders that come with the package, but are no part of it: notebooks, photographs."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def shipped_folder(name: str, file: str) -> Path:
    """Where a folder of this installation is: in the clone, or below ``share/`` of a wheel.

    Args:
        name: of the folder, as in the repository (``data/photographs``).
        file: a file that is in it.

    Raises:
        FileNotFoundError: it is not part of the installation; the message names the cure.
    """
    repository = PACKAGE.parent
    if (repository / "pyproject.toml").is_file() and (repository / name / file).is_file():
        return repository / name
    for listed in metadata.files(PACKAGE.name) or ():
        path = Path(str(listed.locate()))
        if listed.as_posix().endswith(f"share/{PACKAGE.name}/{name}/{file}") and path.is_file():
            return path.resolve().parent
    raise FileNotFoundError(
        f"this installation has no {Path(name).name}; pip install --force-reinstall brings them "
        "back"
    )
