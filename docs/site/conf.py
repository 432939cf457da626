"""How Sphinx builds the site. `make site` gathers the pages first (tools/website.py)."""

import inspect
import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.search.en import SearchEnglish

project = "maskrcnn_edu"
author = "the authors of maskrcnn_edu"
html_title = "Mask R-CNN, room by room"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "index"
templates_path = ["templates"]

# ---- pages and notebooks -----------------------------------------------------------

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # what the notebooks show is stored in them
nb_ipywidgets_js = {}  # sliders are recorded: no script of ipywidgets, no other server
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]

# ---- reference ---------------------------------------------------------------------

default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "special-members": "__call__"}
autodoc_inherit_docstrings = False  # methods of Paddle's classes have Paddle's texts
python_maximum_signature_line_length = 88
viewcode_follow_imported_members = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# ---- look --------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_theme_options = {
    "article_header_end": ["language.html", "article-header-buttons.html"],
    "navbar_persistent": [],
    "use_download_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["sweep.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page that is opened as a file may not read others
html_show_copyright = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader has it
html_math_renderer = "mathml"  # browsers draw it without a script


def _formula(self, node):
    self.body.append(convert(node.astext()))
    raise SkipNode


def _displayed_formula(self, node):
    self.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


class SearchPairs(SearchEnglish):
    """Chinese text has no spaces: it is indexed, and asked for, in pairs of characters."""

    lang = "zh"
    language_name = "English"  # of the stemmer: Latin words are English ones
    js_splitter_code = r"""
function splitQuery(query) {
  const words = query.match(/\p{Script=Han}+|((?!\p{Script=Han})[\p{Letter}\p{Number}_])+/gu) || [];
  return words.flatMap((word) => {
    if (!/\p{Script=Han}/u.test(word) || word.length < 3) return [word];
    return Array.from({ length: word.length - 1 }, (_, i) => word.slice(i, i + 2));
  });
}
"""
    _words = re.compile(r"[㐀-鿿]+|[^\W㐀-鿿]+")

    def split(self, input):
        """Words of a text; a run of Chinese characters gives all its pairs."""
        found = []
        for word in self._words.findall(input):
            if "㐀" <= word[0] <= "鿿" and len(word) > 2:
                found += [word[i : i + 2] for i in range(len(word) - 1)]
            else:
                found.append(word)
        return found


def setup(app):
    """Formulas, the Chinese search, and words of the pages that Sphinx does not translate."""
    app.add_html_math_renderer("mathml", (_formula, None), (_displayed_formula, None))
    app.add_search_language(SearchPairs)
    app.connect("config-inited", _choose_words)
    app.connect("autodoc-process-docstring", _keep_tables, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", _as_in_the_source)


def _choose_words(app, config):
    chinese = config.language == "zh_CN"
    config.nb_code_prompt_show = "显示答案" if chinese else "Show the answer"
    config.nb_code_prompt_hide = "隐藏答案" if chinese else "Hide the answer"
    if chinese:
        config.html_title = "逐个模块读懂 Mask R-CNN"


def _keep_tables(app, what, name, obj, options, lines):
    """Text in columns stays as it was typed; ``# `` in a docstring loses its blank."""
    text = re.sub(r"``(.+?)``", lambda found: f"``{found[1].strip()}``", "\n".join(lines))
    found = []
    for block in text.split("\n\n"):
        rows = block.split("\n")
        if what == "module" and any(re.search(r"\S {2,}\S|^ ", row) for row in rows):
            rows = [".. code-block:: text", "", *(f"   {row}" for row in rows)]
        found += [*rows, ""]
    lines[:] = found


def _as_in_the_source(app, what, name, obj, options, signature, result):
    """Types as they are written, not what their aliases stand for."""
    if signature is None or not callable(obj):
        return None
    text = re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,) ]|$)", r"\1\3", str(inspect.signature(obj)))
    text, _, result = re.sub(r"^\((self|cls)(, |(?=\)))", "(", text).partition(" -> ")
    return text, "" if what == "class" else result
