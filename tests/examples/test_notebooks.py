"""The notebooks run as scripts, and what they say of their output holds."""

import pathlib
import re

import matplotlib.pyplot as plt
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "notebooks"
SLOW = ("does_it_help",)  # it trains many models
NOTEBOOKS = [
    pytest.param(
        path.stem,
        marks=pytest.mark.slow
        if path.stem in SLOW
        else pytest.mark.slow_to_compile,
    )
    for path in sorted(FOLDER.glob("*.md"))
]
CELL = re.compile(
    r"```\{code-cell\}\n(?::tags: \[([^\]]*)\]\n\n)?(.*?)```", re.DOTALL
)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = CELL.findall((FOLDER / f"{name}.md").read_text())
    installs = [code for tags, code in cells if tags == "skip-execution"]
    assert [code.startswith("%pip install") for code in installs] == [True]
    assert cells[-1][0] == "remove-cell"
    assert "\nassert " in cells[-1][1]
    namespace = {}
    for tags, code in cells:
        if tags != "skip-execution":
            exec(compile(code, f"{name}.md", "exec"), namespace)
    assert plt.get_fignums()
