"""The site: `nox -s docs` builds it from these pages and the docstrings."""

import inspect
import json
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import keras_sgt  # noqa: E402

project = "keras_sgt"
author = project_copyright = "The keras_sgt authors"
release = version = keras_sgt.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "results"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"keras_sgt {release}"
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it would fetch: not from a disk
html_use_index = html_domain_indices = False  # the search finds more

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # results_log.md has a level less in places

# Notebooks run in each build: what is shown is what this version gave.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell, also on a busy machine
nb_merge_streams = True
nb_output_stderr = "remove"  # it names folders of the machine that builds

# Docstrings write code in single backticks.
default_role = "code"
autodoc_inherit_docstrings = False  # Keras has its own pages
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_ivar = True

# Pages that are files of the repository's root.
OF_ROOT = {
    "architecture": "ARCHITECTURE.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "readme": "README.md",
}

if (DOCS / "search.md").exists():
    raise ValueError(
        "docs/search.md would take the place of the site's own search page. "
        "Name it docs/searching.md."
    )


def linked(text):
    """Links as they are on the site, where the root's files are pages."""
    for page, file in OF_ROOT.items():
        text = text.replace(f"](../{file}", f"]({page}.md")

    def files_only(match):
        return match[1] if (DOCS / match[2]).is_dir() else match[0]

    return re.sub(r"\[([^\]]*)\]\(([\w./-]+)\)", files_only, text)


def source_read(app, docname, source):
    if docname in OF_ROOT:
        text = (ROOT / OF_ROOT[docname]).read_text()
        # From the root's point of view to that of docs/.
        text = re.sub(r"\]\((?!https?:|#)", "](../", text)
        source[0] = text.replace("](../docs/", "](")
    source[0] = linked(source[0])


def docstring(app, what, name, obj, options, lines):
    """What reST reads otherwise than the docstrings mean it."""
    text = "\n".join(lines)
    # Several arguments of one description, over the end of a line.
    text = re.sub(r"^(\s+[\w, ]+,)\n\s+(?=[\w, ]+:)", r"\1 ", text, flags=re.M)
    text = re.sub(r"([:.])\n( +- )", r"\1\n\n\2", text)  # a list begins
    text = re.sub(r"(?<!`)\|(?=\w+\|)", r"\\|", text)  # |R| is a magnitude
    text = re.sub(r"`(?=s\b)", "`\\\\ ", text)  # `Measure`s
    lines[:] = text.split("\n")


def signature(app, what, name, obj, options, arguments, returns):
    """Layers of Keras take `*args` in `__new__`; `__init__` has the names."""
    if what == "class" and arguments == "(*args, **kwargs)":
        found = inspect.signature(obj.__init__)
        named = list(found.parameters.values())[1:]
        arguments = str(found.replace(parameters=named))
    return arguments, returns


def for_readers_of_screens(app, pagename, templatename, context, doctree):
    """What axe-core misses: levels of headings, code that scrolls by keys."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )
    body = context.get("body", "").replace("<pre>", '<pre tabindex="0">')
    wide = '<div class="table-wrapper'
    context["body"] = body.replace(wide, f'<div tabindex="0"{wide[4:]}')


NOTEBOOKS = "notebooks/"
# Only what lies on GitHub opens there by a link; a file has to be uploaded.
HOSTED = {
    "Colab": "https://colab.research.google.com/",
    "Kaggle": "https://www.kaggle.com/code",
}


def how_to_open(app, pagename, templatename, context, doctree):
    """Under a notebook's title: its file, and where to open that."""
    if not pagename.startswith(NOTEBOOKS):
        return
    services = " or ".join(
        f'<a href="{address}">{name}</a>' for name, address in HOSTED.items()
    )
    file = f"{pagename.removeprefix(NOTEBOOKS)}.ipynb"
    opens = (
        f'<p>Run it yourself: download <a href="{file}" download>{file}</a>, '
        f"and upload it to {services}.</p>"
    )
    title, end, rest = context["body"].partition("</h1>")
    context["body"] = title + end + opens + rest


def notebooks_beside_pages(app, error):
    """The files to take along, to be run anew: without outputs."""
    if error is None and app.builder.name == "html":
        run = pathlib.Path(app.env.mystnb_config.output_folder) / NOTEBOOKS
        for file in run.glob("*.ipynb"):
            notebook = json.loads(file.read_text())
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell.update(outputs=[], execution_count=None)
            copy = pathlib.Path(app.outdir) / NOTEBOOKS / file.name
            copy.write_text(json.dumps(notebook, indent=1))


def setup(app):
    app.connect("html-page-context", how_to_open)
    app.connect("build-finished", notebooks_beside_pages)
    # After furo, which makes the tree.
    app.connect("html-page-context", for_readers_of_screens, priority=900)
    app.connect("autodoc-process-signature", signature)
    app.connect("source-read", source_read)
    # Before napoleon turns sections into fields.
    app.connect("autodoc-process-docstring", docstring, priority=400)
