"""The README's lines and the examples, as a newcomer runs them."""

import csv
import functools
import pathlib
import re
import runpy
import textwrap

import keras
import matplotlib.image
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_sgt
from keras_sgt import datasets

ROOT = pathlib.Path(__file__).parents[2]


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
    assert {row["model"] for row in found["result"].rows} == {
        "traditional",
        "guided",
    }
    assert (tmp_path / "explainable.keras").exists()
    assert (tmp_path / "report.html").stat().st_size < 5e6


@pytest.mark.slow_to_compile
@pytest.mark.usefixtures("few_digits")
def test_guide_to_comparing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_snippets("docs/report.md")
    assert set(found["result"].models) == set(found["models"])
    assert "random mask" in found["result"].verdict
    assert (tmp_path / "report.html").stat().st_size < 5e6


def test_guide_to_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_snippets("docs/settings.md")
    assert (found["masked"] != found["x"]).sum() == 64 * 32  # half of each
    assert 0 <= found["drop"].value <= 0.9
    assert abs(found["found"].minus_random.aup) < 0.1
    served = keras.models.load_model("explainable.keras")
    np.testing.assert_allclose(
        served.predict(found["x"], verbose=0),
        found["model"].predict(found["x"], verbose=0),
        rtol=1e-5,
    )


def test_guide_to_measures():
    assert run_snippets("docs/measures.md")["sparser"].low > 0


def test_guide_to_costs():
    found = run_snippets("docs/costs.md")
    assert float(found["guided"].kl_weight) == pytest.approx(0.3)


def test_guide_to_guidance():
    found = run_snippets("docs/guidance.md")
    assert {"adversarial_consistency", "comprehensiveness"} < set(
        found["history"]
    )


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


@pytest.mark.slow_to_compile
def test_guide_to_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run_snippets("docs/searching.md")
    assert (tmp_path / "search.html").stat().st_size < 1e6
    assert namespace["found"].verdict
    settings = namespace["again"].rows[0].params
    assert 0.05 <= settings["l2.epsilon"] <= 0.2


def test_guide_to_contributing(images, tmp_path):
    x, y = images
    guide = run_snippets("CONTRIBUTING.md")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    guided = keras_sgt.SaliencyGuidedModel(
        model, mask_fraction=0.25, masking=guide["RowMasking"]()
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile("sgd", loss)
    guided.fit(x, y, verbose=0)
    # Of a linear model, the gradients are the weights.
    masked = guided.mask_on_batch(x, y)
    weights = model.get_weights()[0].reshape(8, 8, 4).mean(1)
    for image, label in zip(masked, y):
        blank = (image == 0).all((1, 2))
        assert set(np.flatnonzero(blank)) == set(
            np.argsort(weights[:, label])[:2]
        )
    found = guide["SquaredGradient"](model)(x[:3], 1)
    expected = model.get_weights()[0][:, 1].reshape(8, 8, 1) ** 2
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    maps = np.array([[1.0, -3.0], [2.0, 2.0]])
    assert guide["largest_share"](maps).per_sample.tolist() == [0.75, 0.5]
    (tmp_path / "wine").mkdir()
    lines = "\n".join(f"{i % 2},{i},0.5" for i in range(8))
    (tmp_path / "wine" / "wine.csv").write_text(lines)
    data = guide["wine"](tmp_path)
    assert (len(data.train), len(data.test)) == (6, 2)
    assert sorted([*data.train.x[:, 0], *data.test.x[:, 0]]) == [*range(8)]


def test_quickstart(few_digits, tmp_path, capsys):
    path = tmp_path / "saliency.png"
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"))["main"](2, path)
    printed = capsys.readouterr().out
    for training in ("traditional", "guided", "random mask"):
        (numbers,) = re.findall(rf"{training} +(.*)", printed)
        assert all(0 < float(number) <= 1 for number in numbers.split())
    assert matplotlib.image.imread(path).shape[0] > 500


@pytest.mark.slow_to_compile
def test_second_act_of_the_quickstart(few_digits, tmp_path, capsys):
    path = tmp_path / "search.html"
    quickstart = runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
    quickstart["second_act"](trials=1, epochs=1, path=path)
    sentence = capsys.readouterr().out.splitlines()[-1]
    assert "traditional" in sentence
    assert path.stat().st_size > 10_000


@pytest.mark.slow_to_compile
def test_study_of_mnist(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    images = datasets.Split(
        rng.random((60, 28, 28, 1), dtype="float32").round(1),
        (np.arange(60) % 10).astype("int32"),
    )
    data = datasets.Dataset(images, images, tuple("0123456789"))
    monkeypatch.setattr(datasets, "load", {"mnist": data}.get)
    # The other measures of the report are tried by its own tests.
    few = {"methods": ["gradient"], "measures": ["accuracy_drop"]}
    short = functools.partial(keras_sgt.compare, **few)
    monkeypatch.setattr(keras_sgt, "compare", short)
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "studies"))
    study = runpy.run_path(str(ROOT / "examples" / "studies" / "mnist.py"))
    figure, table, report = (
        tmp_path / name for name in ("saliency.png", "runs.csv", "report.html")
    )
    study["main"](
        [
            *("--train-images", "40", "--test-images", "20"),
            *("--epochs", "1", "--verbose", "0", "--figure", str(figure)),
            *("--csv", str(table), "--report", str(report)),
        ]
    )
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(table.open()))
    names = ["traditional", "saliency guided", "random-mask control"]
    assert [row["training"] for row in rows] == names
    for row in rows:
        assert re.search(rf"{row['training']} .*{row['accuracy'][:4]}", printed)
        assert (row["train_images"], row["test_images"]) == ("40", "20")
        for measure in ("accuracy", "drop_auc", "mass_on_object"):
            assert 0 <= float(row[measure]) <= 1
    assert matplotlib.image.imread(figure).shape[0] > 500
    assert all(name in report.read_text() for name in names)


def test_version_and_date_are_the_same_everywhere():
    changes = (ROOT / "CHANGELOG.md").read_text()
    newest, date = re.findall(r"^## \[([\d.]+)\] - (.*)$", changes, re.M)[0]
    cited = (ROOT / "CITATION.cff").read_text()
    assert newest == keras_sgt.__version__
    assert f"\nversion: {newest}\n" in cited
    assert f'\ndate-released: "{date}"\n' in cited


def test_versions_of_keras_are_those_of_the_committed_runs():
    script = runpy.run_path(str(ROOT / "tools" / "keras_versions.py"))
    page = script["page"]()
    assert script["PAGE"].read_text() == page
    backends = ("tensorflow", "jax", "torch")
    (versions,) = {page.count(f"| {backend} ") for backend in backends}
    assert versions >= 3


@pytest.mark.parametrize("tool", ["guidance_results", "search_results"])
def test_pages_of_studies_are_those_of_the_committed_runs(tool):
    script = runpy.run_path(str(ROOT / "tools" / f"{tool}.py"))
    assert script["PAGE"].read_text() == script["page"]()
    if "GUIDE" in script:
        assert script["GUIDE"].read_text() == script["guide"]()


def test_tables_are_those_of_the_committed_runs():
    script = runpy.run_path(str(ROOT / "tools" / "update_tables.py"))
    assert len(script["DOCUMENTS"]) == 3
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
    found = results["page"]()
    assert results["PAGE"].read_text() == found
    assert "MNIST: relevance on the object | **yes** +" in found
    page = results["log"]()
    assert results["LOG"].read_text() == page
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


def benchmarked(results, above, accuracy=1.0):
    """Runs by the benchmark's protocol: what each training is above Random."""
    measures = ("aup", "aur")
    return [
        {
            "task": f"{layout} gaussian",
            "network": "tcn",
            "training": training,
            "seed": "0",
            "mask_fraction": "0.5",
            "accuracy": str(accuracy if training == "adversarial" else 1.0),
            "best_epoch": "3",
            **{
                f"{method} {kind}_{measure}": str(level + 0.01 * i)
                for method in results["METHODS"]
                for measure in measures
                for kind in ("diff", "diff_iid")
            },
        }
        for training, level in above.items()
        for i, layout in enumerate(("middle", "rare_time", "rare_feature"))
    ]


@pytest.mark.parametrize(
    ("control", "accuracy", "gains"),
    [(0.1, 1.0, True), (0.3, 1.0, False), (0.1, 0.99, False)],
    ids=["gains", "the control gains as much", "a point less accurate"],
)
def test_what_gains_on_series_beats_its_control(
    results, control, accuracy, gains
):
    benchmark = results["results_benchmark"]
    levels = {"traditional": 0.1, "adversarial": 0.3}
    levels["adversarial control"] = control
    cells = benchmark.Cells(benchmarked(results, levels, accuracy))
    (aup, aur) = benchmark.compared(cells, ["tcn"])
    assert aup[1][0].mean == pytest.approx(0.2)
    assert aup[1][1].mean == pytest.approx(0.3 - control)
    assert aup[1][0].clusters == 3
    assert (aup[2], aur[2]) == (gains, gains)


def test_networks_that_are_seldom_right_are_not_read(results):
    levels = {"traditional": 0.1, "adversarial": 0.3}
    benchmark = results["results_benchmark"]
    cells = benchmark.Cells(benchmarked(results, levels, accuracy=0.89))
    which = ("tcn", "adversarial", "traditional", "diff_aup")
    assert cells.difference(*which, results["METHODS"]) is None
    assert cells.accuracies("tcn", "adversarial") == [0.89] * 3


def test_of_real_series_a_data_set_is_one_piece_of_evidence(results):
    rows = [
        {
            "network": "tcn",
            "task": task,
            "training": training,
            "seed": str(seed),
            "method": method,
            "accuracy": "0.8",
            "drop_mean": str(drop + 0.1 * seed),
        }
        for task, gain in (("GunPoint", 0.1), ("ECG200", 0.3))
        for training, drop in (("traditional", 0.5), ("guided", 0.5 + gain))
        for seed in range(3)
        for method in ("gradient", "SmoothGrad")
    ]
    real = results["results_real"]
    which = ("tcn", "guided", "traditional", "drop_mean")
    found = real.difference(rows, *which)
    assert found.mean == pytest.approx(0.2)
    assert found.error == pytest.approx(0.1)  # of two
    assert (found.clusters, found.runs) == (2, 12)


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
