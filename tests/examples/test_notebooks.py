"""The notebooks run as scripts, and what they say of their output holds."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import keras
import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
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


ONLY_ON = {"distributed": "jax"}  # it says how on the others


def check_install(line):
    """A line that pip takes, and extras that there are."""
    command, install, quiet, *requirements = shlex.split(line)
    assert (command, install, quiet) == ("%pip", "install", "-q")
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        Requirement(r).extras for r in requirements if package["name"] in r
    ]
    assert len(extras) == 1
    assert extras[0] <= set(package["optional-dependencies"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(name, tmp_path):
    backend = keras.backend.backend()
    if ONLY_ON.get(name, backend) != backend:
        pytest.skip(f"tried on {ONLY_ON[name]}")
    cells = CELL.findall((FOLDER / f"{name}.md").read_text())
    (install,) = (code for tags, code in cells if tags == "skip-execution")
    check_install(install)
    assert cells[-1][0] == "remove-cell"
    assert "\nassert " in cells[-1][1]
    cells = [code for tags, code in cells if tags != "skip-execution"]
    cells.append("assert plt.get_fignums()")
    # Devices are set before a process first uses them.
    (tmp_path / "notebook.py").write_text("\n".join(cells))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "notebook.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]
