"""The README's lines and the examples, as a newcomer runs them."""

import csv
import os
import pathlib
import re
import runpy

import matplotlib.image
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]


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
        exec(compile(block, document, "exec"), namespace)
    return namespace


def test_readme_snippets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_snippets("README.md")
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


def test_quickstart(quickstart, tmp_path, capsys):
    figure, table = tmp_path / "saliency.png", tmp_path / "runs.csv"
    quickstart["main"](
        [
            "--train-images",
            "300",
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
    script = runpy.run_path(str(ROOT / "docs" / "update_tables.py"))
    assert set(script["DOCUMENTS"]) == {"README.md", "docs/attribution.md"}
    for name in script["DOCUMENTS"]:
        text = (ROOT / name).read_text()
        assert script["updated"](text) == text
        assert "<!-- /" in text


def test_results_are_those_of_the_committed_runs():
    script = runpy.run_path(str(ROOT / "docs" / "update_results.py"))
    assert script["PAGE"].read_text() == script["page"]()
    assert "Table 2" in script["page"]()
