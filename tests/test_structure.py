"""What DESIGN promises of the package: who imports what."""

import ast
import pathlib
import runpy
import subprocess
import sys

import keras
import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_sgt"
FRAMEWORKS = {"tensorflow", "jax", "torch"}
# Upper rooms may use lower ones, never the other way round.
FLOORS = [
    "checks",
    "introspection",
    "backend",
    "embedding",
    "divergences",
    "masking",
    "heads",
    "one_pass",
    "predicting",
    "attribution",
    "evaluation",
    "report",
    "datasets",
    "model",
    "callbacks",
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    return [
        p for p in PACKAGE.rglob("*.py") if p.parent.name not in {"__pycache__"}
    ]


def test_frameworks_stay_in_the_backend():
    offenders = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in modules()
        if "backend" not in path.parts
        for name in imports(path)
        if name.split(".")[0] in FRAMEWORKS
    }
    assert not offenders
    assert any(
        name.split(".")[0] in FRAMEWORKS
        for path in modules()
        for name in imports(path)
    )


def test_arrows_point_down():
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in FLOORS:
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "keras_sgt" and len(parts) > 1:
                target = parts[1]
                if target in FLOORS:
                    assert FLOORS.index(target) <= FLOORS.index(room), path


def test_import_brings_no_other_framework():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_sgt;"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    loaded = set(ast.literal_eval(out.strip().splitlines()[-1]))
    assert not loaded & (FRAMEWORKS - {keras.backend.backend()})
    assert not loaded & {"matplotlib", "sklearn", "tensorflow_datasets"}


def test_an_unknown_backend_is_told_what_there_is(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ImportError, match=r"KERAS_BACKEND.*'numpy'"):
        runpy.run_path(str(PACKAGE / "backend" / "__init__.py"))
