"""The sections of docs/interoperability.md, each after its first lines."""

import functools
import pathlib
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "interoperability.md"


def code_of(text):
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@functools.cache
def sections():
    """The first lines, and the code of each section by its heading."""
    start, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    titles = (part.split("\n", 1)[0] for part in parts)
    return code_of(start), {t: code_of(p) for t, p in zip(titles, parts)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run_section(title):
        first, titles = sections()
        namespace = {}
        exec(compile(first, PAGE.name, "exec"), namespace)
        exec(compile(titles[title], title, "exec"), namespace)
        return namespace

    return run_section


def predictions(found):
    return found["guided"].model.predict(found["x"], verbose=0)


def test_file_without_keras_sgt(run, tmp_path):
    found = run("A file that needs no `keras_sgt`")
    np.save("x.npy", found["x"])
    serve = """
        import sys
        sys.modules["keras_sgt"] = None  # an import would fail
        import keras, numpy
        served = keras.saving.load_model("explainable.keras")
        numpy.save("y.npy", served.predict(numpy.load("x.npy"), verbose=0))
    """
    command = [sys.executable, "-c", textwrap.dedent(serve)]
    subprocess.run(command, check=True, cwd=tmp_path)
    for served in (
        found["served"].predict(found["x"], verbose=0),
        np.load("y.npy"),
    ):
        np.testing.assert_allclose(served, predictions(found), rtol=1e-5)


def needs(*packages):
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")


def needs_pytorch():
    if keras.backend.backend() != "torch":
        pytest.skip("a Keras model is a module of PyTorch there only")


def test_captum(run):
    needs_pytorch()
    needs("captum")
    found = run("Captum")
    captums = found["captums"].detach().numpy()
    np.testing.assert_allclose(found["ours"], captums, atol=1e-6)


def test_quantus(run):
    needs_pytorch()
    needs("quantus")
    found = run("Quantus")
    # Quantus's sparseness is the Gini index.
    ours = found["keras_sgt"].evaluation.gini(found["maps"]).per_sample
    np.testing.assert_allclose(found["sparseness"], ours, rtol=1e-4)
    assert np.shape(found["flipping"]) == (8, 4)


def test_optuna(run):
    needs("optuna")
    trials = run("Optuna")["study"].trials
    assert len(trials) == 2
    assert all(0 <= value <= 1 for trial in trials for value in trial.values)


def test_tensorboard(run, tmp_path):
    needs("tensorboard")
    run("TensorBoard")
    assert [*tmp_path.glob("logs/**/events*")]


def test_scikit_learn(run):
    scores = run("scikit-learn")["scores"]
    assert np.isfinite(scores).all()
    assert scores.shape == (2,)


def test_keras_hub(run):
    needs("keras_hub")
    relevance = run("KerasHub")["of_words"]
    assert relevance.shape == (8, 12)
    assert relevance.any()


def test_onnx(run):
    torch = keras.backend.backend() == "torch"
    needs("onnxscript" if torch else "tf2onnx", "onnxruntime")
    found = run("ONNX")
    np.testing.assert_allclose(found["answers"], predictions(found), atol=1e-5)


def test_saved_model(run):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tried where TensorFlow is the backend")
    found = run("SavedModel")
    np.testing.assert_allclose(found["answers"], predictions(found), atol=1e-5)
