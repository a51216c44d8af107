"""What ARCHITECTURE.md promises of the package: who imports what."""

import ast
import pathlib
import runpy
import subprocess
import sys

import keras
import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_sgt"
FRAMEWORKS = {"tensorflow", "jax", "torch"}
# A room may use those on the same line or above it, never those below.
FLOORS = [
    {"checks", "command_files", "files", "version"},
    {"introspection"},
    {"divergences", "backend"},
    {"masking", "attribution", "datasets"},
    {"evaluation", "guidance"},
    {"training", "report"},
    {"callbacks", "searching"},
    {"__init__"},
    {"__main__"},
]
ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# ... and the two wings do not meet: training over masking, report over
# evaluation over attribution.
APART = {
    "training": {"report", "evaluation", "attribution", "datasets"},
    "guidance": {"attribution", "evaluation", "datasets"},
    "masking": {"attribution", "datasets"},
    "attribution": {"masking", "datasets"},
    "evaluation": {"masking", "datasets"},
    "report": {"training", "masking", "datasets"},
    "datasets": {"masking", "attribution"},
    "searching": {"callbacks", "datasets"},
    "callbacks": {"searching"},
}


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


def rooms_used(path):
    """The rooms of the package that a module imports, by any spelling."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "keras_sgt" and len(parts) > 1 and parts[1] in ROOMS:
            yield parts[1]


def test_every_room_has_a_floor():
    found = {path.relative_to(PACKAGE).parts[0] for path in modules()}
    assert {name.removesuffix(".py") for name in found} == set(ROOMS)


def test_arrows_point_down():
    arrows = 0
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for used in rooms_used(path):
            arrows += used != room
            assert ROOMS[used] <= ROOMS[room], f"{path} uses {used}"
            assert used not in APART.get(room, ()), f"{path} uses {used}"
    assert arrows > 20


def private_names(path):
    """What the module touches that only Keras may: `layer._flatten_layers`.

    Private attributes of anything but `self`, `cls` and `super()` that the
    module does not define itself, by any means.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in OF_KERAS:
                yield node.attr
        elif isinstance(node, ast.Constant) and node.value in OF_KERAS:
            yield node.value
        elif isinstance(node, ast.ImportFrom) and (
            node.module or ""
        ).startswith("keras.src"):
            yield node.module


# What is private or undocumented in Keras and of use to us.
OF_KERAS = {
    "_flatten_layers",
    "_layers",
    "_remat_mode",
    "_keras_mask",
    "_fn_kwargs",
    "_called",
    "_compile_config",
    "_tracker",
    "_use_weight_decay",
    "__module__",
    "call_signature_parameters",
    "jax_state_sync",
    "operations",
}


def test_keras_is_looked_into_behind_one_door():
    behind = [p for p in modules() if "introspection" in p.parts]
    others = [p for p in modules() if "introspection" not in p.parts]
    assert not {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in others
        for name in private_names(path)
    }
    assert {name for path in behind for name in private_names(path)}


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
    assert not loaded & {
        "matplotlib",
        "optuna",
        "sklearn",
        "tensorflow_datasets",
    }


def test_an_unknown_backend_is_told_what_there_is(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ImportError, match=r"KERAS_BACKEND.*'numpy'"):
        runpy.run_path(str(PACKAGE / "backend" / "__init__.py"))
