"""The README's lines and the examples, as a newcomer runs them."""

import csv
import functools
import os
import pathlib
import re
import runpy
import textwrap

import matplotlib.image
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_sgt

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def quickstart(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return runpy.run_path(str(ROOT / "examples" / "quickstart.py"))


def run_snippets(document):
    text = (ROOT / document).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        code = compile(textwrap.dedent(block), document, "exec")
        exec(code, namespace)
    return namespace


@pytest.fixture
def few_digits(monkeypatch):
    """40 images to test with: every line runs, on less to explain."""
    digits = load_digits()
    digits.data, digits.images = digits.data[:1540], digits.images[:1540]
    digits.target = digits.target[:1540]

    def load(return_X_y=False):
        return (digits.data, digits.target) if return_X_y else digits

    monkeypatch.setattr("sklearn.datasets.load_digits", load)


@pytest.mark.usefixtures("few_digits")
def test_readme_snippets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_snippets("README.md")
    assert len(found["maps"]) == 100  # of the last snippet
    assert (tmp_path / "explainable.keras").exists()
    assert (tmp_path / "report.html").stat().st_size < 5e6


def test_guide_to_masking():
    guided = run_snippets("docs/masking.md")["guided"]
    guided.compile("sgd", "mse")
    x = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
    masked = guided.mask_on_batch(x, np.zeros((4, 10)))
    assert (masked != x).any(-1).reshape(4, -1).sum(1).tolist() == [512] * 4


def test_guide_to_attribution():
    found = run_snippets("docs/attribution.md")
    assert found["maps"].shape == found["x"].shape
    assert abs(found["delta"]).max() < abs(found["maps"].sum((1, 2, 3))).max()
    assert found["parts"]["token_ids"].shape == (2, 12)
    assert found["stars"]["price"].any()
    assert set(np.unique(found["signs"])) == {-1, 0, 1}


def test_guide_to_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run_snippets("docs/search.md")
    assert (tmp_path / "search.html").stat().st_size < 1e6
    assert namespace["found"].verdict
    settings = namespace["again"].rows[0].params
    assert 0.05 <= settings["l2.epsilon"] <= 0.2


def test_quickstart(quickstart, tmp_path, capsys, monkeypatch):
    # The other measures of the report are tried by its own tests.
    few = {"methods": ["gradient"], "measures": ["accuracy_drop"]}
    short = functools.partial(keras_sgt.compare, **few)
    monkeypatch.setattr(keras_sgt, "compare", short)
    figure, table = tmp_path / "saliency.png", tmp_path / "runs.csv"
    quickstart["main"](
        [
            "--train-images",
            "300",
            "--test-images",
            "60",
            "--epochs",
            "2",
            "--verbose",
            "0",
            "--figure",
            str(figure),
            "--csv",
            str(table),
            "--report",
            str(tmp_path / "report.html"),
        ]
    )
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(table.open()))
    names = ["traditional", "saliency guided", "random-mask control"]
    assert [row["training"] for row in rows] == names
    for row in rows:
        assert re.search(rf"{row['training']} .*{row['accuracy'][:4]}", printed)
        for measure in ("accuracy", "drop_auc", "mass_on_object"):
            assert 0 < float(row[measure]) <= 1
    assert matplotlib.image.imread(figure).shape[0] > 500
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in names)


@pytest.mark.skipif(
    "TFDS_DATA_DIR" not in os.environ,
    reason="TFDS_DATA_DIR, the folder of the MNIST records, not set",
)
def test_quickstart_reads_mnist(quickstart):
    pytest.importorskip("tensorflow_datasets")
    (x, _y), (x_test, y_test) = quickstart["load"]("mnist", 50, 20)
    assert x.shape == (50, 28, 28, 1)
    assert y_test.shape == (20,)
    assert (x_test.min(), x_test.max()) == (0, 1)


def test_tables_are_those_of_the_committed_runs():
    script = runpy.run_path(str(ROOT / "tools" / "update_tables.py"))
    assert set(script["DOCUMENTS"]) == {"README.md", "docs/attribution.md"}
    for name in script["DOCUMENTS"]:
        text = (ROOT / name).read_text()
        assert script["updated"](text) == text
        assert "<!-- /" in text


def test_costs_are_those_of_the_committed_benchmarks():
    script = runpy.run_path(str(ROOT / "tools" / "update_performance.py"))
    page = script["page"]()
    assert script["PAGE"].read_text() == page
    for backend in ("tensorflow", "jax", "torch"):
        assert f"## {backend}" in page


@pytest.fixture
def results():
    return runpy.run_path(str(ROOT / "tools" / "update_results.py"))


def test_results_are_those_of_the_committed_runs(results):
    page = results["page"]()
    assert results["PAGE"].read_text() == page
    # The paper's tables, cell by cell.
    paper = list(csv.DictReader((ROOT / "docs/results/paper.csv").open()))
    assert len(paper) == 48 + 3 * 8
    for row in paper:
        cell = f"{row['traditional']} → {row['guided']} |"
        assert f"{row['method']} | {cell}" in page
    assert "The paper's result on Movies" in page
    assert "did not reproduce here" in page


def test_errors_of_results_are_those_of_data_sets(results):
    difference = results["results_series"].Difference
    once = difference([("a", 0, 0.1), ("b", 0, 0.2), ("c", 0, 0.6)])
    assert once.mean == pytest.approx(0.3)
    assert once.error == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / 3**0.5)
    assert once.clear == 0
    # More seeds of the same data sets tell nothing of others.
    often = [(c, 0, x) for c, x in zip("abc", (0.1, 0.2, 0.6))] * 10
    assert difference(often).error == once.error
    assert (difference(often).clusters, difference(often).runs) == (3, 30)
    assert difference([("a", 0, 1), ("b", 0, 1.2)]).clear == 1
    assert difference([("a", 1, 0), ("b", 1.2, 0)]).clear == -1
    # One data set has no error.
    assert difference([("a", 0, 1), ("a", 0, 2)]).clear == 0


def test_small_gains_are_not_called_gains(results):
    gains = {
        "traditional": (0.0, 0.0, 0.0),
        "guided": (0.1, -0.1, 0.003),
        "random mask": (0.2, 0.21, 0.22),
    }
    rows = [
        {
            "task": task,
            "network": "tcn",
            "method": method,
            "training": training,
            "seed": str(seed),
            "accuracy": "1",
            "diff_aup": str(values[i]),
            "diff_aur": "nan",
        }
        for training, values in gains.items()
        for i, task in enumerate("abc")
        for method in results["METHODS"]
        for seed in range(3)
    ]
    text = results["results_series"].in_words(
        rows, results["runs"]("paper.csv")
    )
    assert text.startswith("No clear gain")
    lines = dict(re.findall(r"- ([\w ]+ − [\w ]+): (.*)", text))
    assert lines["Guided − traditional"] == (
        "not distinguishable from 0 for TCN (AUP)."
    )
    assert lines["Random mask − traditional"].startswith("above 0 for TCN")
    assert lines["Guided − random mask"].startswith("below 0 for TCN (AUP) -0")
