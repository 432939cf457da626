"""``maskrcnn-edu course``: the notebooks without their answers, in a folder to work in.

Only the standard library is needed, so that the notebooks can be read before Paddle is there;
for Chinese also Babel, which comes with JupyterLab.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.system.shipped import shipped_folder
from maskrcnn_edu.teaching.student import without_answers
from maskrcnn_edu.teaching.translation import translated

START = "start.ipynb"
CATALOGUES = {"zh": "docs/locale/zh_CN/notebooks"}
"""Language -> folder with the translations of the notebooks."""

README = {
    "en": """\
# maskrcnn_edu: the notebooks

    jupyter lab start.ipynb

`start.ipynb` lists the notebooks with their goals. Change whatever you like: the command that
wrote them, `maskrcnn-edu course`, never writes over a notebook that was changed.

Images are drawn and models are trained where the notebooks run; nothing is fetched. What they
draw is kept in `~/.cache/maskrcnn_edu`, or where `MASKRCNN_EDU_CACHE` says. If something is amiss,
`maskrcnn-edu doctor` looks for the reason.
""",
    "zh": """\
# maskrcnn_edu：课程 notebook

    jupyter lab start.ipynb

`start.ipynb` 列出各篇 notebook 及其目标。可以随意修改：写出这些文件的命令
`maskrcnn-edu course` 不会覆盖改动过的 notebook。

图像在 notebook 运行的地方绘制，模型也在那里训练，不需要下载任何东西。绘制好的图像保存在
`~/.cache/maskrcnn_edu`，或环境变量 `MASKRCNN_EDU_CACHE` 指定的位置。每篇 notebook 的第一个
代码单元格把 `MASKRCNN_EDU_LANG` 设为 `zh`，所以图片、控件和检查器的回答都是中文；图片需要一种
中文字体。如果有什么不对，`maskrcnn-edu doctor` 会查找原因。
""",
}


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``course``."""
    command.add_argument("folder", metavar="DIR", help="where to put them; made if it is not there")
    command.add_argument(
        "--lang", choices=tuple(README), default="en", help="of the texts (default: %(default)s)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``course``"""
    source, out = shipped_folder("notebooks", START), Path(options.folder).expanduser()
    if out.is_file():
        raise ValueError(f"{out} is a file; name a folder")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is where the notebooks come from; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    files = {
        path.name: without_answers(in_language(path, options.lang)).encode()
        for path in sorted(source.glob("*.ipynb"))
    }
    changed = [name for name, content in files.items() if not deliver(out / name, content)]
    deliver(out / "README.md", README[options.lang].encode())
    print(f"{len(files)} notebooks are in {out}")
    if changed:
        print(
            f"not as delivered, and left as they are: {', '.join(changed)}\n"
            "(to have them fresh, name another folder, or rename these and come again)"
        )
    print(f"begin with: jupyter lab {out / START}")
    try:
        trust([out / name for name in files if name not in changed])
    except ImportError:
        print("JupyterLab is not installed: pip install jupyterlab ipywidgets")
    except OSError as error:  # a home that cannot be written
        print(f"to see what moves, choose File > Trust Notebook there ({in_words(error)})")
    return 0


def in_language(notebook: Path, language: str) -> str:
    """The text of a notebook's file.

    Raises:
        ImportError: a translation needs Babel.
        ValueError: a passage has none.
    """
    if language == "en":
        return notebook.read_text(encoding="utf-8")
    folder = shipped_folder(CATALOGUES[language], "start.po")
    return translated(notebook, folder / f"{notebook.stem}.po", language)


def deliver(path: Path, content: bytes) -> bool:
    """Write a file, unless there is another one already; whether it now has the content."""
    if path.is_file():
        return path.read_bytes() == content
    atomic_write(path, lambda place: place.write_bytes(content))
    return True


def trust(notebooks: list[Path]) -> None:
    """Tell Jupyter to show what these notebooks have stored: it stops foreign scripts.

    Raises:
        ImportError: there is no Jupyter.
        OSError: it cannot keep this.
    """
    from nbformat import v4
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for path in notebooks:
        notary.sign(v4.reads(path.read_text(encoding="utf-8")))  # not checked: they are ours
