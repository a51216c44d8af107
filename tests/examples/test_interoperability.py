"""The sections of docs/interoperability.md, each after its first lines."""

import functools
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import types

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


def test_keras_tuner(run):
    needs("keras_tuner")
    found = run("KerasTuner")
    numbers = found["tuner"].get_best_hyperparameters()[0]
    for name in ("kl_weight", "mask_fraction"):
        assert float(getattr(found["best"], name)) == pytest.approx(
            numbers.get(name)
        )
    scores = [t.score for t in found["tuner"].oracle.get_best_trials(2)]
    _, accuracy = found["best"].evaluate(*found["held_out"], verbose=0)
    assert accuracy == pytest.approx(max(scores))


def events(folder):
    """The names that TensorBoard shows, with how often each was written."""
    from tensorboard.backend.event_processing import event_accumulator

    reader = event_accumulator.EventAccumulator(str(folder))
    reader.Reload()
    tags = reader.Tags()
    found = {tag: reader.Scalars(tag) for tag in tags["scalars"]}
    found |= {tag: reader.Tensors(tag) for tag in tags["tensors"]}
    return {tag: len(rows) for tag, rows in found.items()}


def test_tensorboard(run, tmp_path):
    needs("tensorboard")
    run("TensorBoard")
    assert events(tmp_path / "logs")["saliency_gini"] == 1


def test_tensorboard_of_keras(run, tmp_path):
    needs("tensorboard", "tensorflow")
    run("TensorBoard: the loss and the divergence")
    found = events(tmp_path / "losses" / "train")
    assert found["epoch_divergence"] == found["epoch_loss"] == 2


def test_scikit_learn(run):
    scores = run("scikit-learn")["scores"]
    assert np.isfinite(scores).all()
    assert scores.shape == (2,)


def test_keras_hub(run):
    needs("keras_hub")
    relevance = run("KerasHub")["of_words"]
    assert relevance.shape == (8, 12)
    assert relevance.any()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Folders in place of the hub's repositories."""
    hub = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "hub"

    def create_repo(api, name, **options):
        (folder / name).mkdir(parents=True, exist_ok=True)
        return types.SimpleNamespace(repo_id=name)

    def upload_folder(api, *, repo_id, folder_path, **options):
        shutil.copytree(folder_path, folder / repo_id, dirs_exist_ok=True)

    def upload_file(api, *, path_or_fileobj, path_in_repo, repo_id):
        (folder / repo_id / path_in_repo).write_bytes(path_or_fileobj)

    for method in (create_repo, upload_folder, upload_file):
        monkeypatch.setattr(hub.HfApi, method.__name__, method)

    def snapshot_download(repo_id, **options):
        return str(folder / repo_id)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return folder


def test_hugging_face_hub(run, hub):
    found = run("Hugging Face Hub")
    served = found["served"]
    assert type(served) is keras.Sequential
    np.testing.assert_allclose(
        served.predict(found["x"], verbose=0), predictions(found), rtol=1e-5
    )
    card = (hub / "someone" / "explainable" / "README.md").read_text()
    assert re.match(r"---\nlibrary_name: keras\n.*\n---\n", card, re.DOTALL)
    for line in str(found["result"]).splitlines():
        assert line in card
    if keras.backend.backend() == "tensorflow":
        keras.saving.load_model("hf://someone/explainable")


def test_guided_models_go_on_from_the_hub(run, hub):
    guided = run("A file that needs no `keras_sgt`")["guided"]
    guided.kl_weight = 0.25
    guided.save("hf://someone/guided")
    loaded = keras.saving.load_model(hub / "someone" / "guided")
    assert float(loaded.kl_weight) == 0.25
    x, y = np.ones((8, 8, 8, 1), "float32"), np.ones(8, "int32")
    history = [m.fit(x, y, verbose=0).history for m in (guided, loaded)]
    assert history[0].keys() == history[1].keys()
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), guided.predict(x, verbose=0), rtol=1e-5
    )


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
