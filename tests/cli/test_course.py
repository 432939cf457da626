"""``maskrcnn-edu course``, and what every command says when something is missing."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from maskrcnn_edu import __version__
from maskrcnn_edu.cli.main import COMMANDS, main
from maskrcnn_edu.system import shipped
from maskrcnn_edu.teaching.student import BEGIN, END, without_answers

SOURCE = Path(__file__).parents[2] / "notebooks"
NAMES = {path.name for path in SOURCE.glob("*.ipynb")}


@pytest.fixture(autouse=True)
def jupyter_home(tmp_path, monkeypatch):
    """Signatures of notebooks go there, not to this machine's."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


def test_the_notebooks_are_written_without_answers(tmp_path, capsys):
    out = tmp_path / "new" / "course"
    assert main(["course", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {*NAMES, "README.md"}
    for name in NAMES:
        given = (out / name).read_text(encoding="utf-8")
        assert given == without_answers((SOURCE / name).read_text(encoding="utf-8"))
        assert BEGIN not in given
    said = capsys.readouterr().out
    assert f"{len(NAMES)} notebooks are in {out}" in said and "jupyter lab" in said
    assert "not as delivered" not in said and "not installed" not in said


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """An installation whose course is one notebook, with a catalogue; its folder."""
    (tmp_path / "pyproject.toml").touch()
    for folder in ("notebooks", "docs/locale/zh_CN/notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["## An anchor\n", "\n", "is a box."]},
        *({"cell_type": "code", "metadata": {}, "source": text.splitlines(keepends=True),
           "outputs": [], "execution_count": 1}
          for text in ("x = 1", f"def f():\n    {BEGIN}\n    return 7\n    {END}")),
    ]  # fmt: skip
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "notebooks" / "start.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    known = 'msgid "An anchor"\nmsgstr "锚框"\n\nmsgid "is a box."\nmsgstr "是一个框。"\n'
    catalogue = tmp_path / "docs/locale/zh_CN/notebooks/start.po"
    catalogue.write_text(known, encoding="utf-8")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "maskrcnn_edu")
    return tmp_path


def test_the_course_in_chinese(small_course, capsys):
    out = small_course / "out"
    assert main(["course", str(out), "--lang", "zh"]) == 0
    prose, first, exercise = json.loads((out / "start.ipynb").read_text(encoding="utf-8"))["cells"]
    assert "".join(prose["source"]) == "## 锚框\n\n是一个框。"
    assert "".join(first["source"]) == "%env MASKRCNN_EDU_LANG=zh\nx = 1"
    assert "return 7" not in "".join(exercise["source"])
    assert "课程" in (out / "README.md").read_text(encoding="utf-8")
    assert f"1 notebooks are in {out}" in capsys.readouterr().out


def test_a_passage_without_translation_stops_the_course(small_course, capsys):
    catalogue = small_course / "docs/locale/zh_CN/notebooks/start.po"
    known = catalogue.read_text(encoding="utf-8").replace("An anchor", "Another anchor")
    catalogue.write_text(known, encoding="utf-8")
    assert main(["course", str(small_course / "out"), "--lang", "zh"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("has no translation of 'An anchor'\n") and said.count("\n") == 1
    assert not list((small_course / "out").iterdir())


def test_without_babel_the_course_in_chinese_says_what_to_install(tmp_path):
    codes, _, said = run_without(["babel"], ["course", str(tmp_path), "--lang", "zh"])
    assert (codes, said) == ([2], "maskrcnn-edu: babel is not installed: pip install babel\n")


def test_a_changed_notebook_stays_and_is_named(tmp_path, capsys):
    main(["course", str(tmp_path)])
    (tmp_path / "03_rpn.ipynb").write_text("mine")
    (tmp_path / "README.md").write_text("mine, too")
    (tmp_path / "05_roi_align.ipynb").unlink()
    capsys.readouterr()
    assert main(["course", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "left as they are: 03_rpn.ipynb\n" in said and "name another folder" in said
    assert (tmp_path / "03_rpn.ipynb").read_text() == "mine"
    assert (tmp_path / "README.md").read_text() == "mine, too"
    assert (tmp_path / "05_roi_align.ipynb").is_file()  # what is missing comes back


def test_jupyter_trusts_what_was_delivered_and_nothing_else(tmp_path):
    import nbformat
    from nbformat.sign import NotebookNotary

    other = (SOURCE / "start.ipynb").read_text(encoding="utf-8").replace("room by room", "mine")
    (tmp_path / "start.ipynb").write_text(other, encoding="utf-8")
    main(["course", str(tmp_path)])
    trusted = {
        path.name
        for path in tmp_path.glob("*.ipynb")
        if NotebookNotary().check_signature(nbformat.read(path, as_version=4))
    }
    assert trusted == NAMES - {"start.ipynb"}


def test_without_jupyter_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    assert main(["course", str(tmp_path)]) == 0
    assert "pip install jupyterlab" in capsys.readouterr().out


def test_where_jupyter_cannot_keep_its_signatures_the_notebooks_are_there(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file" / "below"))
    assert main(["course", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "File > Trust Notebook" in said and (tmp_path / "out" / "start.ipynb").is_file()


def test_a_folder_that_cannot_be(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["course", str(tmp_path / "file")]) == 2
    assert main(["course", str(SOURCE)]) == 2
    assert main(["course", str(tmp_path / "file" / "below")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        f"{tmp_path}/file is a file; name a folder",
        f"{SOURCE} is where the notebooks come from; name another folder",
        f"{tmp_path}/file/below: a part of this path is a file, not a folder",
    ]


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "maskrcnn_edu")
    monkeypatch.setattr(shipped.metadata, "files", lambda name: None)
    assert main(["course", str(tmp_path / "out")]) == 2
    assert "this installation has no notebooks" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=r"no photographs; .* --force-reinstall"):
        shipped.shipped_folder("data/photographs", "annotations.json")


# ---- every command ---------------------------------------------------------------


NO_GPU_IS_FINE = ("-W", "ignore:You are using GPU version Paddle")  # says Paddle, without a GPU


def run_without(modules, *commands):
    """Exit codes, and what was printed, of commands where some libraries are missing."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in modules)
    code = f"""import sys; {blocked}
from maskrcnn_edu.cli.main import main
for command in {[list(command) for command in commands]!r}:
    try:
        code = main(command)
    except SystemExit as end:
        code = end.code
    print("exit", code)
"""
    command = [sys.executable, *NO_GPU_IS_FINE, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    codes = [int(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("exit ")]
    return codes, done.stdout, done.stderr


def test_without_paddle_a_command_says_in_one_line_what_to_install():
    commands = [[name, "--help"] for name in ("train", "eval", "predict", "export")]
    codes, _, said = run_without(["paddle"], *commands)
    assert codes == [2] * 4
    assert said.splitlines() == [
        "maskrcnn-edu: paddle is not installed: pip install paddlepaddle "
        "(for a GPU, maskrcnn-edu doctor says which build)"
    ] * len(commands)


def test_help_version_doctor_and_course_need_nothing(tmp_path):
    missing = ["paddle", "numpy", "PIL", "yaml", "tqdm", "matplotlib", "pycocotools", "safetensors"]
    commands = [["--help"], ["--version"], ["course", "-h"], ["course", str(tmp_path)], ["doctor"]]
    codes, printed, said = run_without(missing, *commands)
    assert (codes, said) == ([0, 0, 0, 0, 1], "")
    assert "cannot start" in printed and (tmp_path / "start.ipynb").is_file()


def test_another_library_that_is_missing_is_named():
    codes, _, said = run_without(["yaml"], ["train", "--help"])
    assert (codes, said) == ([2], "maskrcnn-edu: yaml is not installed: pip install pyyaml\n")


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and said.startswith(f"maskrcnn-edu {__version__}, paddlepaddle")
    assert f"Python {sys.version.split()[0]}" in said and said.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="its pipes end otherwise")
def test_a_pipe_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from maskrcnn_edu.cli.main import main; sys.exit(main(['doctor']))"
    command = [sys.executable, "-u", *NO_GPU_IS_FINE, "-c", code]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_completion_for_the_shell(capsys):
    pytest.importorskip("shtab")
    assert main(["--print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "complete -o bashdefault" in script and "--checkpoint-every" in script
    assert all(name in script for name in COMMANDS)
    assert main(["--print-completion", "fish"]) == 2
    assert "needs one of bash, zsh, tcsh" in capsys.readouterr().err


def test_completion_without_its_library():
    codes, _, said = run_without(["shtab"], ["--print-completion", "bash"])
    assert (codes, said) == ([2], "maskrcnn-edu: shtab is not installed: pip install shtab\n")


DATA = ["shapes", "get", "import", "check"]


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), *(["data", x] for x in DATA)])
def test_every_help_says_what_the_command_is_for(command, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out
    usage, description = said.split("\n\n")[:2]
    assert usage.startswith(f"usage: maskrcnn-edu {' '.join(command)}")
    assert description.endswith(".") and description[0].isupper()
    for line, below in pairwise(said.splitlines()):
        if line.startswith("  -"):  # every option says what it does, beside it or below
            assert re.search(r"\S  +\S", line) or below.startswith(" " * 20), line


def test_a_file_that_is_not_there_has_no_number(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "no.json"), "--images", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "no.json" in error and "Errno" not in error and error.count("\n") == 1


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    def broken(options):
        raise ImportError("cannot import name", name="maskrcnn_edu.model.x")

    monkeypatch.setattr("maskrcnn_edu.cli.course.run", broken)
    with pytest.raises(ImportError, match="cannot import name"):
        main(["course", "x"])
