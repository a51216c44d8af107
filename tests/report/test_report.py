"""Comparisons: their numbers, their files, what is refused, interruption."""

import csv
import hashlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt import attribution, evaluation
from keras_sgt.__main__ import main
from keras_sgt.report.cache import Cache

RNG = np.random.default_rng(0)


def classifier(shape, seed=0, classes=3):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(classes, "softmax"),
        ]
    )


def reader(seed=0, length=6):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return model


def content_of(path):
    """What a page's script is given to draw."""
    text = path.read_text().split('id="data">')[1]
    return json.loads(text.split("</script>")[0])


def images(n=20):
    return RNG.random((n, 8, 8, 1), dtype="float32"), np.arange(n) % 3


def compared(shape=(8, 8, 1), n=20, **options):
    x = RNG.normal(size=(n, *shape)).astype("float32")
    models = {"plain": classifier(shape), "guided": classifier(shape, 1)}
    options = {"verbose": 0, "methods": ["gradient", "random"], **options}
    return models, x, np.arange(n) % 3, options


class OfOnesOwn(keras.Model):
    """A dense layer and what ends it, in a `call` that nobody can read."""

    def __init__(self, units, end=None):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(units)
        self.end = end

    def call(self, inputs):
        outputs = self.dense(self.flat(inputs))
        return outputs if self.end is None else self.end(outputs)


def values_by_model(result):
    found = {}
    for row in result.rows:
        key = row["measure"], row["method"]
        found.setdefault(row["model"], {})[key] = row["value"]
    return found


class TestNumbers:
    @pytest.mark.parametrize(
        ("units", "methods"),
        [
            # The logits before a softmax that is no layer's are not known,
            # and gradients are those of its logarithm.
            (3, ["random"]),
            (1, ["gradient", "integrated_gradients"]),
        ],
    )
    def test_are_alike_for_networks_that_are(self, units, methods):
        """Whatever ends them, and wherever: layers, operations, nothing."""
        squash = ("softmax", keras.ops.softmax)
        if units == 1:
            squash = ("sigmoid", keras.ops.sigmoid)
        known = classifier((5,), classes=units)
        if units == 1:
            known = keras.Sequential(
                [
                    keras.Input((5,)),
                    layers.Flatten(),
                    layers.Dense(1, squash[0]),
                ]
            )
        weights = [RNG.normal(size=w.shape) for w in known.get_weights()]
        models = {
            "known": known,
            "squashed": OfOnesOwn(units, squash[1]),
            "logits": OfOnesOwn(units),
        }
        x = RNG.normal(size=(30, 5)).astype("float32")
        for model in models.values():
            model(x[:1])
            model.set_weights(weights)
        result = keras_sgt.compare(
            models,
            x,
            np.arange(30) % max(units, 2),
            methods=methods,
            verbose=0,
        )
        found = values_by_model(result)
        for name in ("squashed", "logits"):
            for key, value in found["known"].items():
                assert found[name][key] == pytest.approx(value, abs=2e-3), key

    def test_are_those_of_the_measures(self):
        models, x, y, options = compared(methods=["gradient"])
        models = {"guided": models["guided"]}
        truth = np.zeros(x.shape, bool)
        truth[:, :4] = True
        result = keras_sgt.compare(models, x, y, truth=truth, **options)
        rows = {(r["model"], r["method"], r["measure"]): r for r in result.rows}
        for name, model in models.items():
            maps = attribution.Gradient(model)(x)
            right = model.predict(x, verbose=0).argmax(1) == y
            expected = {
                "accuracy_drop": evaluation.accuracy_drop(model, x, y, maps),
                "deletion": evaluation.deletion(model, x, maps, fill="mean"),
                "insertion": evaluation.insertion(model, x, maps, fill="mean"),
                "relevance_mass": evaluation.relevance_mass(maps, truth),
                "pointing_game": evaluation.pointing_game(maps, truth),
                "gini": evaluation.gini(maps),
            }
            found = {k[2] for k in rows if k[:2] == (name, "gradient")}
            assert found == set(expected)
            for measure, value in expected.items():
                row = rows[name, "gradient", measure]
                assert row["value"] == pytest.approx(value.value, rel=1e-4)
                assert row["low"] <= row["value"] <= row["high"]
                assert row["n"] == 20
            accuracy = rows[name, None, "accuracy"]
            assert accuracy["value"] == pytest.approx(right.mean())

    def test_several_seeds(self):
        _, x, y, options = compared()
        models = {
            "a": [classifier((8, 8, 1), s) for s in (0, 1, 2)],
            "b": [classifier((8, 8, 1), s) for s in (3, 4, 5)],
        }
        options["measures"] = ["gini"]
        result = keras_sgt.compare(models, x, y, seeds=[7, 8, 9], **options)
        values = [
            evaluation.gini(attribution.Gradient(m)(x)).value
            for m in models["b"]
        ]
        (row,) = [
            r
            for r in result.rows
            if (r["model"], r["method"], r["measure"])
            == ("b", "gradient", "gini")
        ]
        assert row["value"] == pytest.approx(np.mean(values), rel=1e-5)
        half = 4.303 * np.std(values, ddof=1) / 3**0.5  # Student's t of 2
        assert row["high"] - row["value"] == pytest.approx(half, rel=1e-4)
        assert row["n"] == 3
        assert "seeds [7, 8, 9]" in str(result)

    def test_of_texts(self):
        x = RNG.integers(1, 9, (10, 6)).astype("int32")
        x[:, 4:] = 0
        truth = np.zeros(x.shape, bool)
        truth[:, 1] = True
        result = keras_sgt.compare(
            {"a": reader(), "b": reader(1)},
            x,
            np.arange(10) % 2,
            truth=truth,
            methods=["gradient"],
            verbose=0,
        )
        assert result.domain == "text"
        measured = {r["measure"] for r in result.rows}
        assert measured == {
            "accuracy",
            "comprehensiveness",
            "sufficiency",
            "token_auprc",
            "gini",
        }

    def test_of_series(self):
        models, x, y, options = compared((7, 5))
        truth = np.zeros(x.shape, bool)
        truth[:, 2:5, 1:3] = True
        options.update(methods=["gradient"], measures=["aup", "aur"])
        result = keras_sgt.compare(models, x, y, truth=truth, **options)
        maps = attribution.Gradient(models["plain"])(x)
        expected = evaluation.weighted_precision_recall(maps, truth)
        found = {
            r["measure"]: r["value"]
            for r in result.rows
            if r["model"] == "plain"
        }
        assert found["aup"] == pytest.approx(expected.aup, rel=1e-4)
        assert found["aur"] == pytest.approx(expected.aur, rel=1e-4)
        for row in result.rows:
            assert row["low"] <= row["value"] <= row["high"]
            assert row["n"] == 20

    def test_logits_are_told_by_their_sums(self):
        models, x, y, options = compared()
        logits = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)]
        )
        logits.set_weights(models["plain"].get_weights())
        options.update(methods=["gradient"], measures=["deletion"])
        found = keras_sgt.compare(
            {"softmax": models["plain"], "logits": logits}, x, y, **options
        )
        by_model = {
            name: [
                round(r["value"], 4) for r in found.rows if r["model"] == name
            ]
            for name in found.models
        }
        assert by_model["softmax"] == by_model["logits"]

    def test_a_single_logit_is_told_by_its_layer(self):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
        model.set_weights([np.full((4, 1), 0.1), np.zeros(1)])
        x = RNG.random((12, 4))  # the outputs lie in [0, 1]
        options = {"methods": ["gradient"], "measures": ["deletion"]}
        found = [
            keras_sgt.compare(
                {"a": model},
                x,
                np.ones(12),
                from_logits=told,
                verbose=0,
                **options,
            ).to_json()
            for told in ("auto", True)
        ]
        assert found[0] == found[1]

    def test_numbers_become_floats(self):
        x, y = images()
        model = classifier((8, 8, 1))
        options = {"methods": ["gradient"], "measures": ["gini"], "verbose": 0}
        bytes_ = (255 * x).astype("uint8")
        found = [
            keras_sgt.compare({"a": model}, given, y, **options).to_json()
            for given in (bytes_, bytes_.astype("float32"))
        ]
        assert found[0] == found[1]
        table = RNG.integers(0, 5, (20, 8))
        result = keras_sgt.compare(
            {"a": classifier((8,))}, table, y, domain="table", **options
        )
        assert result.x.dtype == "float32"

    def test_texts_without_a_rationale_do_not_count(self):
        x = RNG.integers(1, 9, (10, 6)).astype("int32")
        truth = np.zeros(x.shape, bool)
        truth[:4, 1] = True
        model = reader()
        result = keras_sgt.compare(
            {"a": model},
            x,
            np.arange(10) % 2,
            ["gradient"],
            ["token_auprc"],
            truth,
            verbose=0,
        )
        maps = abs(attribution.Gradient(model)(x[:4]))
        expected = evaluation.token_auprc(maps, truth[:4]).value
        assert result.rows[1]["value"] == pytest.approx(expected)
        assert result.rows[1]["n"] == 4

    def test_parts_of_the_samples_give_the_same(self, monkeypatch):
        models, x, y, options = compared(batch_size=4, methods=["gradient"])
        options["measures"] = ["accuracy_drop", "gini"]
        models = {"a": models["plain"]}
        whole = keras_sgt.compare(models, x, y, **options)
        monkeypatch.setattr("keras_sgt.report.work.PART", 8)
        parts = keras_sgt.compare(models, x, y, **options)
        for a, b in zip(whole.rows, parts.rows):
            assert a == pytest.approx(b)
        curves = [
            result.curve("a", "gradient", "accuracy_drop")[1]
            for result in (whole, parts)
        ]
        np.testing.assert_allclose(*curves)


class TestBest:
    def compared(self, bad=False):
        """Two models of which one is clearly more accurate, or alike."""
        x = RNG.normal(size=(60, 4)).astype("float32")
        models = {}
        for name, scale in (("good", 1), ("other", -1 if bad else 1)):
            models[name] = classifier((4,), classes=2)
            kernel = scale * np.array([[-9, 9], [0, 0], [0, 0], [0, 0]])
            models[name].set_weights([kernel, np.zeros(2)])
        return keras_sgt.compare(
            models,
            x,
            (x[:, 0] > 0).astype(int),
            ["gradient", "input_x_gradient"],
            ["accuracy_drop"],
            verbose=0,
        )

    def test_is_no_inaccurate_model(self):
        result = self.compared(bad=True)
        assert result.best("accuracy") == [("good", None)]
        rows = {(r["model"], r["method"], r["measure"]): r for r in result.rows}
        drops = [
            rows[model, "gradient", "accuracy_drop"]["value"]
            for model in ("good", "other")
        ]
        assert drops[1] < drops[0]  # who is always wrong loses nothing
        assert "other" not in dict(result.best("accuracy_drop"))
        assert "less accurate than the best by more than 0.02" in " ".join(
            str(result).split()
        )

    def test_is_none_where_chance_tells(self):
        result = self.compared()
        assert result.best("accuracy") == []
        assert result.best("accuracy_drop") == []
        assert "*" not in str(result).split("In brackets")[0]


@pytest.fixture(scope="module")
def result():
    models, x, y, options = compared()
    options["measures"] = ["accuracy_drop", "insertion", "gini"]
    return keras_sgt.compare(models, x, y, **options)


def inside(figure):
    """All that is drawn lies within the figure."""
    figure.draw_without_rendering()
    box = figure.bbox
    for ax in figure.axes:
        found = ax.get_tightbbox()
        if found is None:
            continue
        for own, whole in zip(found.min, box.min):
            assert own >= whole - 1
        for own, whole in zip(found.max, box.max):
            assert own <= whole + 1


class TestFigures:
    def test_signals_stand_above_their_map(self):
        x = RNG.normal(size=(20, 3))
        ax = keras_sgt.report.plot_series(x, x)
        inside(ax.figure)
        (above,) = [a for a in ax.figure.axes if a is not ax]
        ends = [a.get_window_extent() for a in (ax, above)]
        assert ends[0].y1 <= ends[1].y0
        assert ends[0].x0 == pytest.approx(ends[1].x0)
        assert ends[0].x1 == pytest.approx(ends[1].x1)

    @pytest.mark.parametrize("size", [None, (3, 1.2)])
    def test_words_do_not_overlap(self, size):
        from matplotlib import pyplot

        words = ["a", "quite", "long", "$5", "<b>wide</b>", "映画", "on"] * 8
        ax = None if size is None else pyplot.subplots(figsize=size)[1]
        ax = keras_sgt.report.plot_tokens(words, np.arange(len(words)), ax=ax)
        inside(ax.figure)
        boxes = [text.get_window_extent() for text in ax.texts]
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[i + 1 :])
        if size is None:
            assert len(boxes) == len(words)
        else:
            assert re.fullmatch(r"… \d+ more", ax.texts[-1].get_text())

    def test_images_without_channels(self):
        maps = RNG.normal(size=(2, 8, 8))
        keras_sgt.report.plot_maps(maps, RNG.random((2, 8, 8)))
        with pytest.raises(ValueError, match="as large as `maps`"):
            keras_sgt.report.plot_maps(maps, RNG.random((2, 9, 9)))

    def test_words_are_text(self):
        with pytest.raises(ValueError, match="hold text"):
            keras_sgt.report.plot_tokens([1, 2], [0.1, 0.2])


class TestShown:
    def test_table(self, result):
        text = str(result)
        assert text.startswith(result.verdict[:40])
        assert max(map(len, text.splitlines())) <= 100
        tables = [t.splitlines() for t in text.split("\n\n")[1:-1]]
        heads = " ".join(table[0] for table in tables)
        for title in ("accuracy ↑", "accuracy-drop area ↓", "sparsity (Gini)"):
            assert title in heads
        best = [m for m, _ in result.best("insertion")]
        for lines in tables:
            assert len(lines) == 7
            assert len({line.index("[") for line in lines[2:4]}) == 1
            if "insertion" not in lines[0]:
                continue
            column = lines[0].index("insertion")
            for line in lines[2:4] + lines[5:7]:
                model, method = line.split()[:2]
                marked = "*" in line[column : column + 30]
                assert marked == (model in best and method == "gradient")

    def test_files_hold_the_same_rows(self, result, tmp_path):
        pandas = pytest.importorskip("pandas")
        frame = result.to_frame()
        assert list(frame.columns) == [
            "model",
            "method",
            "measure",
            "value",
            "low",
            "high",
            "n",
        ]
        read = pandas.read_csv(io.StringIO(result.to_csv()))
        np.testing.assert_allclose(read["value"], frame["value"])
        assert json.loads(result.to_json())[0] == result.rows[0]
        result.to_csv(tmp_path / "rows.csv")
        rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
        assert len(rows) == len(result.rows)
        assert os.listdir(tmp_path) == ["rows.csv"]

    def test_figure_and_notebook(self, result):
        figure = result.figure()
        titles = {ax.get_title() for ax in figure.axes}
        assert "accuracy-drop area ↓\ngradient" in titles
        assert "sample 0\nguided, gradient" in titles
        inside(figure)

    def test_notebook_needs_nothing(self, result, monkeypatch):
        monkeypatch.setitem(sys.modules, "jinja2", None)
        shown = result._repr_html_()
        assert shown.count("<tr>") == 7
        assert "the best of a measure" in shown

    def test_pictures_of_every_class(self, result):
        assert set(result.y) == {0, 1, 2}


class TestPage:
    def test_is_one_file_that_loads_nothing(self, result, tmp_path):
        result.save(tmp_path / "report.html")
        assert os.listdir(tmp_path) == ["report.html"]
        text = (tmp_path / "report.html").read_text()
        assert not re.findall(r"(?:src|href)=|@import|url\(", text)
        assert "default-src 'none'" in text

    def test_strings_from_data_are_escaped(self):
        evil = "<script>alert(1)</script>"
        x = RNG.integers(1, 9, (6, 6)).astype("int32")
        result = keras_sgt.compare(
            {f'a"{evil}': reader(), "b'\"": reader(1)},
            x,
            np.arange(6) % 2,
            methods={evil: attribution.Gradient},
            measures=["gini"],
            class_names=['say "no"', evil],
            token_names=[evil] * 9,
            verbose=0,
        )
        from keras_sgt.report import page

        text = page.render(result, title=evil)
        assert evil not in text
        assert text.count("<script") == 2
        assert "&lt;script&gt;" in text

    def test_size_does_not_grow_with_the_data(self, tmp_path):
        sizes = []
        for n, side in ((30, 20), (90, 20), (30, 160)):
            models, x, y, options = compared((side, side, 3), n)
            options["measures"] = ["gini"]
            result = keras_sgt.compare(models, x, y, samples=24, **options)
            result.save(tmp_path / "report.html")
            sizes.append((tmp_path / "report.html").stat().st_size)
        assert abs(sizes[1] / sizes[0] - 1) < 0.1
        assert max(sizes) < 5e6

    def test_size_is_bounded_for_wide_tables_and_long_texts(self, tmp_path):
        options = {"methods": ["gradient"], "measures": ["gini"], "verbose": 0}
        y = np.arange(24) % 3
        path = tmp_path / "report.html"
        wide = keras_sgt.compare(
            {"a": classifier((5000,))},
            RNG.normal(size=(24, 5000)),
            y,
            **options,
        )
        wide.save(path)
        assert path.stat().st_size < 500_000
        content = content_of(path)
        assert content["samples"][0]["more"] == 4970
        # The columns that weigh most, by name.
        sizes = abs(wide.part("a", "gradient")["maps"][0])
        largest = {f"column {c}" for c in np.argsort(-sizes)[:30]}
        assert set(content["samples"][0]["names"]) == largest
        ids = RNG.integers(1, 9, (24, 6000)).astype("int32")
        keras_sgt.compare(
            {"a": reader(length=6000)},
            ids,
            y % 2,
            token_names=["x" * 99] * 9,
            **options,
        ).save(path)
        assert path.stat().st_size < 5e6
        assert content_of(path)["samples"][0]["more"] == 5000

    def test_another_ending_is_refused(self, result, tmp_path):
        with pytest.raises(ValueError, match=r"end in '\.html'"):
            result.save(tmp_path / "report.pdf")


class TestInterrupted:
    SCRIPT = """
import os, signal, sys, numpy as np
import keras, keras_sgt
from keras import layers

def classifier(seed):
    keras.utils.set_random_seed(seed)
    head = [layers.Flatten(), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((6, 6, 1)), *head])

x = np.random.default_rng(1).normal(size=(12, 6, 6, 1)).astype("float32")
made = []

def method(model):
    def attribute(x, batch_size):
        made.append(model)
        print("made", len(made), flush=True)
        if len(made) == {kill_at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    return attribute

result = keras_sgt.compare(
    {{"a": classifier(0), "b": classifier(1)}},
    x, np.arange(12) % 3, methods={{"gradient": method}}, verbose=0,
    measures=["gini"],
    cache={cache!r},
)
result.to_csv({out!r})
"""

    def run(self, tmp_path, kill_at):
        script = self.SCRIPT.format(
            kill_at=kill_at,
            cache=str(tmp_path / "cache"),
            out=str(tmp_path / "rows.csv"),
        )
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True
        )

    @pytest.mark.slow_to_compile
    def test_a_killed_comparison_goes_on(self, tmp_path):
        killed = self.run(tmp_path, kill_at=2)
        assert killed.returncode == -signal.SIGKILL
        assert not (tmp_path / "rows.csv").exists()
        again = self.run(tmp_path, kill_at=0)
        assert again.returncode == 0, again.stderr
        assert again.stdout.split() == ["made", "1"]  # only what was missing
        rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
        assert {r["model"] for r in rows} == {"a", "b"}

    def test_a_killed_save_leaves_the_old_page(self, tmp_path):
        path = tmp_path / "report.html"
        path.write_text("the old page")
        # Killed when all is written, but under another name.
        script = self.SCRIPT.replace("result.to_csv({out!r})", "") + (
            "import pathlib\n"
            "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
            "result.save({out!r})\n"
        )
        script = script.replace("cache={cache!r},", "").format(
            kill_at=0, out=str(path)
        )
        killed = subprocess.run(
            [sys.executable, "-c", script], capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL
        assert path.read_text() == "the old page"

    def test_other_weights_are_computed_anew(self, tmp_path):
        models, x, y, options = compared()
        options.update(cache=tmp_path, measures=["deletion"])
        options["methods"] = ["gradient"]
        first = keras_sgt.compare(models, x, y, **options)
        models["guided"].set_weights(
            [2 * w for w in models["guided"].get_weights()]
        )
        second = keras_sgt.compare(models, x, y, **options)
        for a, b in zip(first.rows, second.rows):
            same = a["model"] == "plain"
            if a["measure"] == "deletion":
                assert (a["value"] == b["value"]) == same

    def test_another_activation_is_computed_anew(self, tmp_path):
        x, y = RNG.normal(size=(12, 4)).astype("float32"), np.arange(12) % 2

        def network(activation):
            model = keras.Sequential(
                [
                    keras.Input((4,), name="in"),
                    layers.Dense(3, activation, name="hidden"),
                    layers.Dense(2, "softmax", name="out"),
                ],
                name="network",
            )
            rng = np.random.default_rng(0)
            weights = [rng.normal(size=w.shape) for w in model.get_weights()]
            model.set_weights(weights)
            return model

        options = {"methods": ["gradient"], "measures": ["gini"], "verbose": 0}
        found = [
            keras_sgt.compare(
                {"a": network(name)}, x, y, cache=cache, **options
            ).to_json()
            for name, cache in (
                ("relu", tmp_path),
                ("tanh", tmp_path),
                ("tanh", None),
            )
        ]
        assert found[0] != found[1]
        assert found[1] == found[2]

    def test_a_damaged_file_is_computed_anew(self, tmp_path):
        models, x, y, options = compared()
        options.update(cache=tmp_path, methods=["gradient"], measures=["gini"])
        first = keras_sgt.compare(models, x, y, **options)
        files = list(tmp_path.glob("*.npz"))
        for file, size in zip(files, (0, 50, 200, 300)):
            file.write_bytes(file.read_bytes()[:size])
        second = keras_sgt.compare(models, x, y, **options)
        assert first.rows == second.rows

    def test_a_file_of_another_is_computed_anew(self, tmp_path):
        models, x, y, options = compared()
        options.update(cache=tmp_path, methods=["gradient"], measures=["gini"])
        first = keras_sgt.compare(models, x, y, **options)
        names = sorted(tmp_path.glob("*.npz"))
        np.savez(names[0], weights=x)
        names[1].write_bytes(names[2].read_bytes())  # of another key
        with names[3].open("wb") as file:
            np.save(file, x)
        second = keras_sgt.compare(models, x, y, **options)
        assert first.rows == second.rows

    def test_bfloat16(self, tmp_path):
        x, y = RNG.normal(size=(12, 4)).astype("float32"), np.arange(12) % 2
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(2, "softmax", dtype="bfloat16")]
        )
        options = {"methods": ["gradient"], "measures": ["gini"], "verbose": 0}

        def rows(cache=None):
            return keras_sgt.compare(
                {"a": model}, x, y, cache=cache, **options
            ).rows

        assert rows(tmp_path) == rows() == rows(tmp_path)
        kept = set(tmp_path.iterdir())
        model.set_weights([-w for w in model.get_weights()])
        assert rows(tmp_path) == rows()
        assert len(kept) < len(set(tmp_path.iterdir()))

    def test_files_of_earlier_versions_are_found(self, tmp_path):
        for array in (
            np.arange(6, dtype="float32").reshape(2, 3).T,
            np.array(["a", "of"]),
            np.zeros((0, 2), "int64"),
            np.array(True),
        ):
            text = str((array.dtype, array.shape)).encode()
            name = hashlib.sha256(text + array.tobytes()).hexdigest()[:32]
            Cache(tmp_path).get(array, dict)
            assert (tmp_path / f"{name}.npz").exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"models": {}}, "dict from names"),
            ({"models": [classifier]}, "dict from names"),
            ({"models": {"a": "model.keras"}}, r"keras\.Model"),
            ({"x": np.zeros((0, 8, 8, 1))}, "not empty"),
            ({"y": np.zeros(3, int)}, "each of the 20 samples"),
            ({"methods": ["lime"]}, "gradient"),
            ({"methods": []}, "gradient"),
            ({"measures": ["comprehensiveness"]}, "accuracy_drop"),
            ({"measures": ["relevance_mass"]}, "only with `truth`"),
            ({"truth": np.zeros((8, 8, 1), bool)}, "empty in 20 samples"),
            ({"truth": np.ones((3, 8), bool)}, r"shape of `x`, \(20, 8"),
            ({"domain": "video"}, "images"),
            ({"class_names": ["a"]}, "up to class 2"),
            ({"seeds": [1, 2]}, "each of the 1 models"),
            ({"y": [[1, 1, 0]] * 20}, "one class for each sample"),
            ({"class_names": ["a", "b"], "y": np.zeros(20)}, "up to class 2"),
            ({"samples": 0}, "at least 1"),
            ({"methods": {}}, "functions from a model"),
        ],
    )
    def test_arguments(self, change, told):
        models, x, y, options = compared()
        arguments = {"models": models, "x": x, "y": y, **options, **change}
        with pytest.raises(ValueError, match=told):
            keras_sgt.compare(**arguments)

    def test_models_that_do_not_go_together(self):
        _, x, y, options = compared()
        with pytest.raises(ValueError, match=r"same classes.*\(None, 4\)"):
            keras_sgt.compare(
                {
                    "a": classifier((8, 8, 1)),
                    "b": classifier((8, 8, 1), classes=4),
                },
                x,
                y,
                **options,
            )

    def test_names_that_are_one_as_text(self):
        models, x, y, options = compared()
        same = {1: models["plain"], "1": models["guided"]}
        with pytest.raises(ValueError, match="differ as text"):
            keras_sgt.compare(same, x, y, **options)

    def test_seeds_of_different_models(self):
        _, x, y, options = compared()
        group = [classifier((8, 8, 1)), classifier((8, 8, 1), classes=4)]
        with pytest.raises(ValueError, match=r"a\[1\].*\(None, 4\)"):
            keras_sgt.compare({"a": group}, x, y, **options)

    def test_methods_are_made_before_the_work(self, tmp_path):
        x, y = RNG.random((20, 8)), np.arange(20) % 3
        methods = ["gradient", "grad_cam"]  # which needs a convolution
        with pytest.raises(ValueError, match=r"GradCAM|layer"):
            keras_sgt.compare(
                {"a": classifier((8,))},
                x,
                y,
                methods,
                cache=tmp_path,
                verbose=0,
            )
        assert os.listdir(tmp_path) == []


class TestCommandLine:
    @pytest.fixture
    def files(self, tmp_path):
        x, y = images()
        np.savez(tmp_path / "test.npz", x=x, y=y, class_names=["a", "b", "c"])
        for seed, name in enumerate(("plain", "guided")):
            classifier((8, 8, 1), seed).save(tmp_path / f"{name}.keras")
        return tmp_path

    def arguments(self, folder, data="test.npz", out="report.html"):
        return [
            "compare",
            *(str(folder / name) for name in ("plain.keras", "guided.keras")),
            *("--data", str(folder / data), "--out", str(folder / out)),
            *("--methods", "gradient", "--measures", "gini"),
            *("--samples", "3"),
        ]

    def test_writes_the_page(self, files, capsys):
        assert (
            main([*self.arguments(files), "--csv", str(files / "r.csv")]) == 0
        )
        assert "plain" in capsys.readouterr().out
        assert "guided" in (files / "report.html").read_text()
        assert (files / "r.csv").exists()

    def test_a_terminal_of_few_characters(self, files, monkeypatch):
        for encoding, told in (
            ("utf-8", "↑ higher is better"),
            ("cp1252", "? higher is better"),
        ):
            terminal = io.TextIOWrapper(io.BytesIO(), encoding)
            monkeypatch.setattr(sys, "stdout", terminal)
            out = f"{encoding}.html"
            assert main(self.arguments(files, out=out)) == 0
            terminal.flush()
            assert told in terminal.buffer.getvalue().decode(encoding)
            assert (files / out).exists()

    def test_what_was_found_outlives_the_terminal(self, files, monkeypatch):
        class Gone(io.StringIO):
            def write(self, text):
                if "higher is better" in text:
                    raise BrokenPipeError("the terminal is gone")
                return super().write(text)

        monkeypatch.setattr(sys, "stdout", Gone())
        assert (
            main([*self.arguments(files), "--csv", str(files / "r.csv")]) == 2
        )
        assert "guided" in (files / "report.html").read_text()
        assert "guided" in (files / "r.csv").read_text()

    def test_what_was_found_outlives_a_full_disk(
        self, files, capsys, monkeypatch
    ):
        def replace(*_):
            raise OSError("no space left")

        monkeypatch.setattr(pathlib.Path, "replace", replace)
        assert main(self.arguments(files)) == 2
        shown = capsys.readouterr()
        assert "higher is better" in shown.out
        assert "no space left" in shown.err

    def test_bad_input_is_told_and_ends_with_2(self, files, capsys):
        x, y = images()
        np.savez(files / "pickle.npz", x=x, y=np.array([{}] * 20))
        np.savez(files / "keys.npz", x=x)
        np.savez(files / "empty.npz", x=x[:0], y=y[:0])
        (files / "text.npz").write_text("no archive")
        for data, told in {
            "pickle.npz": "pickled objects",
            "keys.npz": r"lacks \['y'\]",
            "empty.npz": "not empty",
            "text.npz": "npz file",
            "none.npz": "no file",
        }.items():
            assert main(self.arguments(files, data)) == 2
            assert re.search(told, capsys.readouterr().err), data
        assert main(self.arguments(files, out="report.txt")) == 2
        assert main(self.arguments(files, out="no/where.html")) == 2
        np.save(files / "one.npy", x)
        assert main(self.arguments(files, "one.npy")) == 2
        assert "single array" in capsys.readouterr().err
        for more, told in {
            ("--csv", files / "no" / "r.csv"): "--csv: there is no folder",
            ("--cache", files / "test.npz"): "--cache has to be a folder",
            ("--samples", "0"): "--samples has to be 1 or more",
            ("--batch-size", "-1"): "--batch-size has to be 1 or more",
        }.items():
            assert main([*self.arguments(files), *map(str, more)]) == 2
            assert told in capsys.readouterr().err
        (files / "dir.html").mkdir()
        assert main(self.arguments(files, out="dir.html")) == 2
        assert not (files / "report.html").exists()

    def of_models(self, folder, *models):
        names = [str(folder / model) for model in models]
        return ["compare", *names, *self.arguments(folder)[3:]]

    def test_models_that_are_refused(self, files, capsys):
        classifier((6, 6, 1)).save(files / "small.keras")
        (files / "junk.keras").write_text("hi")
        unsafe = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Lambda(lambda x: x * 2)]
        )
        unsafe.save(files / "unsafe.keras")
        for name, told in {
            "small.keras": "same inputs",
            "junk.keras": "does not load",
            "unsafe.keras": "does not load.*Lambda",
            "none.keras": "no model",
        }.items():
            models = self.of_models(files, "plain.keras", name)
            assert main(models) == 2, name
            assert re.search(told, capsys.readouterr().err, re.DOTALL), name

    def test_a_model_of_another_folder(self, files):
        (files / "sub").mkdir()
        other = files / "sub" / ".." / "plain.keras"
        models = self.of_models(files, "guided.keras", other)
        assert main([*models, "--from-logits", "no"]) == 0
        assert content_of(files / "report.html")["models"] == [
            "guided",
            "plain",
        ]
        assert sorted(os.listdir(files / "sub")) == []

    def test_no_output_is_an_input_or_another_output(self, files, capsys):
        before = (files / "plain.keras").read_bytes()
        (files / "model.html").write_bytes(before)
        (files / "link.html").symlink_to(files / "model.html")
        (files / "test.csv").symlink_to(files / "test.npz")
        call = self.arguments(files)
        for more, told in {
            ("--csv", "plain.keras"): "has to end in .csv",
            ("--csv", "test.csv"): "overwrite the input",
            ("--csv", "report.html"): "has to end in .csv",
        }.items():
            option, path = more
            assert main([*call, option, str(files / path)]) == 2
            assert told in capsys.readouterr().err
        models = self.of_models(files, "guided.keras", "model.html")
        for name in ("model.html", "link.html"):
            models[models.index("--out") + 1] = str(files / name)
            assert main(models) == 2
            assert "overwrite the input" in capsys.readouterr().err
        assert (files / "plain.keras").read_bytes() == before
        assert (files / "model.html").read_bytes() == before

    def test_data_that_would_take_all_memory(self, files, capsys):
        def claiming(shape):
            stream = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                stream,
                {"descr": "<f8", "fortran_order": False, "shape": shape},
            )
            return stream.getvalue() + bytes(64)

        for shape in ((10**6, 10**6), (2**62, 4)):
            with zipfile.ZipFile(files / "bomb.npz", "w") as archive:
                archive.writestr("x.npy", claiming(shape))
                archive.writestr("y.npy", claiming((8,)))
            assert main(self.arguments(files, "bomb.npz")) == 2
            assert "x.npy claims" in capsys.readouterr().err
        stream = io.BytesIO()
        stream.write(np.lib.format.magic(2, 0))
        header = b"(" * 400_000 + b"\n"
        stream.write(len(header).to_bytes(4, "little") + header)
        with zipfile.ZipFile(files / "bomb.npz", "w") as archive:
            archive.writestr("x.npy", stream.getvalue())
        assert main(self.arguments(files, "bomb.npz")) == 2
        assert "Header info length" in capsys.readouterr().err

    def test_data_of_another_kind(self, files, capsys):
        (files / "test.csv").write_text("x,y\n1,2\n")
        assert main(self.arguments(files, "test.csv")) == 2
        assert "numpy.savez('test.npz'" in capsys.readouterr().err
        np.savez(files / "wide.npz", x=np.zeros((6, 9, 9, 1)), y=np.arange(6))
        assert main(self.arguments(files, "wide.npz")) == 2
        told = capsys.readouterr().err
        assert "(None, 8, 8, 1). Received: x of shape (6, 9, 9, 1)" in told
        assert "\x1b" not in told
        assert "Traceback" not in told

    OWN_LAYER = """
import keras

@keras.saving.register_keras_serializable(package="own")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""

    def test_a_model_with_a_layer_of_ones_own(self, files, capsys, monkeypatch):
        (files / "own_layers_of_test.py").write_text(self.OWN_LAYER)
        monkeypatch.syspath_prepend(files)
        import own_layers_of_test as own

        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                own.Doubled(),
                layers.Flatten(),
                layers.Dense(3, "softmax"),
            ]
        )
        model.save(files / "own.keras")
        # As in a process that does not know the layer.
        keras.saving.get_custom_objects().pop("own>Doubled")
        del sys.modules["own_layers_of_test"]
        models = self.of_models(files, "plain.keras", "own.keras")
        assert main(models) == 2
        assert "--import the module" in capsys.readouterr().err
        assert main([*models, "--import", "own_layers_of_test"]) == 0
        assert main([*models, "--import", "no_such_module"]) == 2
        assert "does not load" in capsys.readouterr().err

    def test_names_are_no_formulas(self):
        x, y = images()
        names = ["=1+1", "+a", "-b", "@c", "d"]
        result = keras_sgt.compare(
            {name: classifier((8, 8, 1)) for name in names},
            x,
            y,
            ["gradient"],
            ["gini"],
            verbose=0,
        )
        rows = list(csv.DictReader(io.StringIO(result.to_csv())))
        written = list(dict.fromkeys(row["model"] for row in rows))
        assert written == ["'=1+1", "'+a", "'-b", "'@c", "d"]
        assert result.rows[0]["model"] == "=1+1"

    def test_help_is_for_strangers(self, capsys):
        for arguments in (["--help"], ["compare", "--help"]):
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 0
            if arguments == ["--help"]:
                top = capsys.readouterr().out
                assert "python -m keras_sgt compare plain.keras" in top
        text = capsys.readouterr().out
        assert "test inputs" in text
        assert "python -m keras_sgt compare plain.keras" in text


class TestMonitor:
    def test_looks_when_it_is_due(self, tmp_path):
        model = classifier((8, 8, 1))
        model.compile("adam", "sparse_categorical_crossentropy")
        x, y = images()
        truth = np.zeros(x.shape, bool)
        truth[:, :4] = True
        looked = []

        def method(model):
            gradient = attribution.Gradient(model)

            def attribute(x, y):
                looked.append(gradient(x, y))
                return looked[-1]

            return attribute

        monitor = keras_sgt.callbacks.SaliencyMonitor(
            x[:5], y[:5], 2, truth[:5], method, tmp_path / "maps"
        )
        history = model.fit(
            x, y, epochs=4, verbose=0, callbacks=[monitor]
        ).history
        assert sorted(os.listdir(tmp_path / "maps")) == [
            "saliency-0002.png",
            "saliency-0004.png",
        ]
        assert len(history["saliency_gini"]) == 2
        kernel = model.get_weights()[0]
        expected = kernel[:, y[:5]].T.reshape(5, 8, 8, 1)
        np.testing.assert_allclose(looked[-1], expected, rtol=1e-4)
        assert history["saliency_mass"][-1] == pytest.approx(
            evaluation.relevance_mass(expected, truth[:5]).value, rel=1e-4
        )
        assert abs(looked[0] - looked[1]).max() > 1e-4  # it trained between

    def test_training_is_not_touched(self):
        x, y = images()
        weights = []
        for callbacks in ([], [keras_sgt.callbacks.SaliencyMonitor(x, y)]):
            model = classifier((8, 8, 1))
            guided = keras_sgt.SaliencyGuidedModel(model, seed=1)
            guided.compile("adam", "sparse_categorical_crossentropy")
            guided.fit(x, y, 8, epochs=3, verbose=0, callbacks=callbacks)
            weights.append(model.get_weights())
        for a, b in zip(*weights):
            np.testing.assert_array_equal(a, b)

    def test_a_logit_is_the_class_that_its_loss_says(self):
        """Its maps are those of the sigmoid that the loss applies."""
        x, y = images()
        y = np.minimum(y, 1)
        found = {}
        for name in ("logit", "sigmoid", "its own sigmoid"):
            keras.utils.set_random_seed(0)
            inputs = keras.Input((8, 8, 1))
            ends = "sigmoid" if name == "sigmoid" else None
            outputs = layers.Dense(1, ends)(layers.Flatten()(inputs))
            if name == "its own sigmoid":
                outputs = keras.ops.sigmoid(outputs)
            model = keras.Model(inputs, outputs)
            model.compile(
                "sgd",
                keras.losses.BinaryCrossentropy(from_logits=name == "logit"),
            )
            truth = np.zeros(x.shape, bool)
            truth[:, :4] = True
            monitor = keras_sgt.callbacks.SaliencyMonitor(x, y, truth=truth)
            found[name] = model.fit(
                x, y, epochs=2, verbose=0, callbacks=[monitor]
            ).history
        for other in ("logit", "its own sigmoid"):
            for measure in ("saliency_gini", "saliency_mass"):
                np.testing.assert_allclose(
                    found[other][measure], found["sigmoid"][measure], rtol=1e-3
                )

    def test_a_model_that_the_first_step_builds(self):
        x, y = images()
        model = keras.Sequential([layers.Flatten(), layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        monitor = keras_sgt.callbacks.SaliencyMonitor(x, y)
        history = model.fit(x, y, verbose=0, callbacks=[monitor]).history
        maps = attribution.Gradient(model)(x, y)
        assert history["saliency_gini"] == pytest.approx(
            [evaluation.gini(maps).value], rel=1e-4
        )

    def test_a_training_that_diverges_ends_as_it_does_without(self, tmp_path):
        x, y = images()
        model = classifier((8, 8, 1))
        model.compile("sgd", "sparse_categorical_crossentropy")
        monitor = keras_sgt.callbacks.SaliencyMonitor(x, y, folder=tmp_path)
        stops = keras.callbacks.TerminateOnNaN()
        broken = np.full_like(x, np.inf)
        history = model.fit(
            broken, y, epochs=3, verbose=0, callbacks=[monitor, stops]
        ).history
        assert len(history["loss"]) == 1
        assert np.isnan(history["saliency_gini"]).all()
        assert not os.listdir(tmp_path)

    def test_a_model_that_cannot_be_explained_is_told_before_training(self):
        x, y = images()
        inputs = keras.Input((8, 8, 1))
        flat = layers.Flatten()(inputs)
        outputs = [layers.Dense(3, "softmax")(flat) for _ in range(2)]
        model = keras.Model(inputs, outputs)
        model.compile("sgd", ["sparse_categorical_crossentropy"] * 2)
        before = model.get_weights()
        with pytest.raises(ValueError, match="several outputs"):
            model.fit(
                x,
                [y, y],
                verbose=0,
                callbacks=[keras_sgt.callbacks.SaliencyMonitor(x, y)],
            )
        for old, new in zip(before, model.get_weights()):
            np.testing.assert_array_equal(old, new)

    def test_tensorboard(self, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing import event_accumulator

        model = classifier((8, 8, 1))
        model.compile("adam", "sparse_categorical_crossentropy")
        x, y = images()
        monitor = keras_sgt.callbacks.SaliencyMonitor(
            x[:2], y[:2], log_dir=tmp_path
        )
        model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
        events = event_accumulator.EventAccumulator(str(tmp_path))
        events.Reload()
        assert len(events.Scalars("saliency_gini")) == 2
        assert events.Images("saliency")[1].width > 100

    def test_bad_input(self):
        x, y = images()
        make = keras_sgt.callbacks.SaliencyMonitor
        with pytest.raises(ValueError, match="1 or more"):
            make(x, y, every=0)
        with pytest.raises(ValueError, match="each of the 20 samples"):
            make(x, y[:3])
        with pytest.raises(ValueError, match="mask of shape"):
            make(x, y, truth=y)
        with pytest.raises(ValueError, match="empty in 20 samples"):
            make(x, y, truth=np.zeros(x.shape))
        with pytest.raises(ValueError, match="function from a model"):
            make(x, y, method="gradient")
        monitor = make(x, y + 3)
        monitor.set_model(classifier((8, 8, 1)))
        with pytest.raises(ValueError, match="classes below 3"):
            monitor.on_train_begin()

    def test_what_is_converted(self):
        x, y = images()
        make = keras_sgt.callbacks.SaliencyMonitor
        monitor = make((255 * x).astype("uint8"), np.eye(3)[y])
        assert monitor.x.dtype == "float32"
        assert (monitor.y == y).all()

    def test_pictures_need_matplotlib(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
        with pytest.raises(ImportError, match="pip install matplotlib"):
            keras_sgt.callbacks.SaliencyMonitor(*images(), folder=tmp_path)

    @pytest.mark.parametrize("kind", ["text", "table", "series"])
    def test_pictures_of_other_data(self, kind, tmp_path):
        if kind == "text":
            x, model = RNG.integers(1, 9, (3, 6)).astype("int32"), reader()
        else:
            shape = (8,) if kind == "table" else (12, 3)
            x, model = RNG.normal(size=(3, *shape)), classifier(shape)
        monitor = keras_sgt.callbacks.SaliencyMonitor(
            x, [0, 1, 0], folder=tmp_path
        )
        monitor.set_model(model)
        monitor.on_train_begin()
        monitor.on_epoch_end(0, {})
        assert os.listdir(tmp_path) == ["saliency-0001.png"]

    def test_pictures_say_what_they_show(self, tmp_path, monkeypatch):
        from matplotlib import figure

        drawn, save = [], figure.Figure.savefig

        def saved(self, *args, **options):
            drawn.append(self)
            return save(self, *args, **options)

        monkeypatch.setattr(figure.Figure, "savefig", saved)
        x, y = images()
        truth = np.zeros(x.shape, bool)
        truth[:, 2:5, 2:5] = True
        monitor = keras_sgt.callbacks.SaliencyMonitor(
            x[:3], y[:3], truth=truth[:3, ..., 0], folder=tmp_path
        )
        monitor.set_model(classifier((8, 8, 1)))
        monitor.on_train_begin()
        monitor.on_epoch_end(4, {})
        (picture,) = drawn
        inside(picture)
        assert picture.get_suptitle() == "Saliency after epoch 5"
        titles = [ax.get_title() for ax in picture.axes if ax.get_title()]
        assert titles == [f"sample {i}, class {i}" for i in range(3)]
        (legend,) = picture.legends
        assert [text.get_text() for text in legend.get_texts()] == [
            "for the class, each map's scale",
            "against it",
            "known to matter",
        ]
        outlined = [bool(ax.collections) for ax in picture.axes]
        assert outlined == [True] * 3 + [False] * 3 + [True] * 3
