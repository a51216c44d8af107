"""Comparisons: their numbers, their files, what is refused, interruption."""

import csv
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt import attribution, evaluation
from keras_sgt.__main__ import main

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


def reader(seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return model


def images(n=20):
    return RNG.random((n, 8, 8, 1), dtype="float32"), np.arange(n) % 3


def compared(shape=(8, 8, 1), n=20, **options):
    x = RNG.normal(size=(n, *shape)).astype("float32")
    models = {"plain": classifier(shape), "guided": classifier(shape, 1)}
    options = {"verbose": 0, "methods": ["gradient", "random"], **options}
    return models, x, np.arange(n) % 3, options


class TestNumbers:
    def test_are_those_of_the_measures(self):
        models, x, y, options = compared()
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
        half = np.std(values, ddof=1) / 3**0.5
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
        options["methods"] = ["gradient"]
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


@pytest.fixture(scope="module")
def result():
    models, x, y, options = compared()
    return keras_sgt.compare(models, x, y, **options)


class TestShown:
    def test_table(self, result):
        lines = str(result).splitlines()
        assert "accuracy ↑" in lines[0]
        assert "accuracy-drop area ↓" in lines[0]
        values = {
            r["model"]: r["value"]
            for r in result.rows
            if (r["method"], r["measure"]) == ("gradient", "insertion")
        }
        best = max(values, key=values.get)
        column = lines[0].index("insertion")
        for line in lines[2:4] + lines[5:7]:
            model, method = line.split()[:2]
            marked = "*" in line[column : column + 30]
            assert marked == ((model, method) == (best, "gradient"))

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
        assert "accuracy-drop area ↓, gradient" in titles
        assert result._repr_html_().count("<tr>") == 7

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
        for n, side in ((30, 20), (300, 20), (30, 160)):
            models, x, y, options = compared((side, side, 3), n)
            options["measures"] = ["gini"]
            result = keras_sgt.compare(models, x, y, samples=24, **options)
            result.save(tmp_path / "report.html")
            sizes.append((tmp_path / "report.html").stat().st_size)
        assert abs(sizes[1] / sizes[0] - 1) < 0.1
        assert max(sizes) < 5e6

    def test_another_ending_is_refused(self, result, tmp_path):
        with pytest.raises(ValueError, match=r"end in '\.html'"):
            result.save(tmp_path / "report.pdf")


class TestInterrupted:
    SCRIPT = """
import os, signal, sys, numpy as np
sys.path.insert(0, {tests!r})
import keras_sgt
from keras_sgt import attribution
from test_report import classifier

x = np.random.default_rng(1).normal(size=(12, 6, 6, 1)).astype("float32")
made = []

def method(model):
    made.append(model)
    print("made", len(made), flush=True)
    if len(made) == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return attribution.Gradient(model)

result = keras_sgt.compare(
    {{"a": classifier((6, 6, 1)), "b": classifier((6, 6, 1), 1)}},
    x, np.arange(12) % 3, methods={{"gradient": method}}, verbose=0,
    measures=["gini"],
    cache={cache!r},
)
result.to_csv({out!r})
"""

    def run(self, tmp_path, kill_at):
        script = self.SCRIPT.format(
            tests=str(pathlib.Path(__file__).parent),
            kill_at=kill_at,
            cache=str(tmp_path / "cache"),
            out=str(tmp_path / "rows.csv"),
        )
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True
        )

    def test_a_killed_comparison_goes_on(self, tmp_path):
        killed = self.run(tmp_path, kill_at=2)
        assert killed.returncode == -signal.SIGKILL
        assert not (tmp_path / "rows.csv").exists()
        again = self.run(tmp_path, kill_at=0)
        assert again.returncode == 0, again.stderr
        assert again.stdout.split() == ["made", "1"]  # only what was missing
        third = self.run(tmp_path, kill_at=0)
        assert third.stdout == ""
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
            tests=str(pathlib.Path(__file__).parent), kill_at=0, out=str(path)
        )
        killed = subprocess.run(
            [sys.executable, "-c", script], capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL
        assert path.read_text() == "the old page"

    def test_other_weights_are_computed_anew(self, tmp_path):
        models, x, y, options = compared()
        options.update(cache=tmp_path, measures=["deletion"])
        first = keras_sgt.compare(models, x, y, **options)
        models["guided"].set_weights(
            [2 * w for w in models["guided"].get_weights()]
        )
        second = keras_sgt.compare(models, x, y, **options)
        for a, b in zip(first.rows, second.rows):
            same = a["model"] == "plain"
            if a["measure"] == "deletion":
                assert (a["value"] == b["value"]) == same


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

    def test_bad_input_is_told_and_ends_with_2(self, files, capsys):
        x, y = images()
        np.savez(files / "pickle.npz", x=x, y=np.array([{}] * 20))
        np.savez(files / "keys.npz", x=x)
        np.savez(files / "empty.npz", x=x[:0], y=y[:0])
        (files / "text.npz").write_text("no archive")
        for data, told in {
            "pickle.npz": "allow_pickle|pickle",
            "keys.npz": r"lacks \['y'\]",
            "empty.npz": "not empty",
            "text.npz": "npz file",
            "none.npz": "no file",
        }.items():
            assert main(self.arguments(files, data)) == 2
            assert re.search(told, capsys.readouterr().err), data
        assert main(self.arguments(files, out="report.txt")) == 2
        assert main(self.arguments(files, out="no/where.html")) == 2
        assert not (files / "report.html").exists()

    def test_help_is_for_strangers(self, capsys):
        for arguments in (["--help"], ["compare", "--help"]):
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 0
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
            guided.fit(
                x, y, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
            )
            weights.append(model.get_weights())
        for a, b in zip(*weights):
            np.testing.assert_array_equal(a, b)

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
        with pytest.raises(ValueError, match="each sample"):
            make(x, y[:3])
        with pytest.raises(ValueError, match="shape of `x`"):
            make(x, y, truth=y)
