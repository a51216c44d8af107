"""`keras_sgt.search`: what it finds, what it refuses, how workers share."""

import io
import os
import pathlib
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("optuna")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import problems

import keras_sgt
from keras_sgt import attribution, evaluation
from keras_sgt.__main__ import main
from keras_sgt.guidance import AdversarialConsistency, MaskedConsistency
from keras_sgt.searching import candidates, command, confirmation, measures

TABLE = problems.table()


def search(**options):
    x, y, truth = TABLE
    arguments = dict(
        candidates=["adversarial", "masked"],
        trials=2,
        epochs=1,
        seeds=2,
        truth=truth,
        verbose=0,
    )
    return keras_sgt.search(
        problems.build_table, (x, y), (x, y), **{**arguments, **options}
    )


@pytest.fixture(scope="module")
def found():
    return search(trials=3)


@pytest.mark.slow_to_compile
def test_the_same_seed_finds_the_same(found):
    again = search(trials=3)
    assert again.verdict == found.verdict
    assert again.settings == found.settings
    for one, other in zip(found.rows, again.rows):
        assert one.params == other.params
        assert one.outcome["means"] == other.outcome["means"]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        part = slice(60 * index, 60 * (index + 1))
        return TABLE[0][part], TABLE[1][part]


@pytest.mark.slow_to_compile
def test_a_data_set_is_as_good_as_its_arrays(found):
    x, y, truth = TABLE
    again = keras_sgt.search(
        problems.build_table,
        (x, y),
        Batches(),
        candidates=["adversarial", "masked"],
        trials=3,
        epochs=1,
        seeds=2,
        truth=truth,
        verbose=0,
    )
    assert again.verdict == found.verdict
    assert again.table()[0]["relevance"] == found.table()[0]["relevance"]


@pytest.mark.slow_to_compile
def test_texts():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (80, 6)).astype("int32")
    y = (ids == 3).any(1).astype("int32")

    def build():
        model = keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                keras.layers.Embedding(20, 4),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(1, "sigmoid"),
            ]
        )
        model.compile("adam", "binary_crossentropy")
        return model

    result = keras_sgt.search(
        build, (ids, y), (ids, y), trials=3, epochs=1, seeds=2, verbose=0
    )
    assert len(result.plan.candidates) == 6
    masked = result.plan.candidates["masked"]
    assert result.plan.measures == ["comprehensiveness", "sufficiency"]
    assert [row["state"] for row in result.table()] == ["complete"] * 3
    judged = measures.fair(result.plan.measures, masked(candidates.Middle()))
    assert judged == ["comprehensiveness"]


@pytest.mark.slow_to_compile
def test_another_seed_tries_other_settings(found):
    other = search(trials=3, seed=5)
    assert [r.params for r in other.rows] != [r.params for r in found.rows]


def test_a_trial_for_each_candidate_first(found):
    tried = [row.params["candidate"] for row in found.rows]
    assert tried[:2] == ["adversarial", "masked"]
    assert len(tried) == 3


def test_traditional_training_is_that_of_keras():
    x, y, _ = TABLE
    guided = search(
        candidates={
            "strong": lambda trial: AdversarialConsistency(0.5, weight=2.0)
        },
        tolerance=0.9,
        trials=1,
    )
    # The first of the fresh seeds, where anything was confirmed.
    seed = 0 if guided.confirmation is None else 3
    keras.utils.set_random_seed(seed)
    plain = problems.build_table()
    keras.utils.set_random_seed(seed)
    plain.fit(x, y, verbose=0)
    for ours, theirs in zip(
        guided.models["traditional"].model.get_weights(), plain.get_weights()
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow_to_compile
def test_settings_are_those_of_the_candidate():
    guided = search(
        candidates={
            "mine": lambda trial: [
                MaskedConsistency(
                    mask_fraction=trial.suggest_float("fraction", 0.2, 0.3)
                ),
                AdversarialConsistency(epsilon=0.3),
            ]
        },
        trials=2,
        tolerance=0.9,
    )
    for row in guided.rows:
        assert 0.2 <= row.params["mine.fraction"] <= 0.3
    if guided.chosen is not None:
        masked, moved = guided.guidance
        assert masked.mask_fraction == guided.settings["mine.fraction"]
        assert moved.epsilon == 0.3


@pytest.fixture(scope="module")
def won():
    """Digits beside a null block, where moving is known to help."""
    x, y, truth = problems.digits()
    train, valid, test = (
        slice(0, 500),
        slice(500, 650),
        slice(650, 900),
    )
    return keras_sgt.search(
        problems.build_digits,
        (x[train], y[train]),
        (x[valid], y[valid]),
        candidates={"adversarial": lambda trial: AdversarialConsistency(0.15)},
        test=(x[test], y[test]),
        truth=(truth[valid], truth[test]),
        trials=1,
        epochs=8,
        seeds=3,
        tolerance=0.05,
        verbose=0,
    ), (x[test], y[test], truth[test])


@pytest.mark.slow_to_compile
def test_digits_beside_a_null_block_are_won(won):
    result, _ = won
    assert result.wins, result.verdict
    assert "relevance on the truth" in result.verdict
    assert "its random control" in result.verdict


@pytest.mark.slow_to_compile
def test_confirmed_relevance_is_that_of_the_best_model(won):
    result, (x, _, truth) = won
    maps = attribution.Gradient(result.best.model, from_logits=True)(x)
    expected = evaluation.relevance_mass(abs(maps), truth).per_sample
    reference = result.reference
    values = result.confirmation.values["guided"][0]
    own = values * reference["spreads"]["relevance"]
    own = own + reference["means"]["relevance"]
    np.testing.assert_allclose(np.sort(own), np.sort(expected), atol=1e-4)


@pytest.mark.slow_to_compile
def test_what_is_shown(won, tmp_path):
    result, _ = won
    frame = result.to_frame()
    assert len(frame) == 1
    assert {"accuracy", "faithfulness", "relevance"} <= set(frame.columns)
    result.save(tmp_path / "search.html")
    page = (tmp_path / "search.html").read_text()
    assert result.verdict.split(";")[0] in page
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src 'none'" in page
    assert page.count("data:image/png") == 2  # the front, the maps
    assert result.verdict.split(";")[0] in result._repr_html_()


def noise(seed, **options):
    """A search where labels are random, so that nothing can be won."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(240, 8)).astype("float32")
    y = rng.integers(0, 2, 240).astype("int32")
    return search_on(x, y, seed=seed, **options)


def search_on(x, y, **options):
    arguments = dict(trials=4, epochs=2, seeds=3, verbose=0)
    return keras_sgt.search(
        problems.build_table,
        (x[:120], y[:120]),
        (x[120:], y[120:]),
        **{**arguments, **options},
    )


@pytest.mark.slow_to_compile
def test_noise_labels_win_nothing():
    result = noise(0, candidates=["adversarial", "masked"], trials=2)
    assert not result.wins
    assert "train traditionally" in result.verdict


@pytest.mark.slow
def test_noise_labels_win_seldom():
    assert sum(noise(seed).wins for seed in range(20)) <= 2


def _uncompiled():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])


def _regression():
    model = _uncompiled()
    model.compile("adam", "mse")
    return model


_ONE = []


def _same():
    if not _ONE:
        _ONE.append(problems.build_table())
    return _ONE[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"build_model": _uncompiled}, "compiled model"),
        ({"build_model": _same}, "same object twice"),
        ({"build_model": _regression}, "classifiers"),
        ({"build_model": 3}, "has to be a function"),
        ({"validation": None}, "`validation` has to be given"),
        ({"tolerance": 1.0}, "tolerance=1.0"),
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"candidates": "magic"}, "magic"),
        ({"candidates": ["masked", "magic"]}, "'masked', 'magic'"),
        ({"candidates": {"none": lambda trial: None}}, "has to return"),
        ({"measures": ["beauty"]}, "measures=.*beauty"),
        ({"measures": ["relevance"], "truth": None}, "truth not given"),
        (
            {"measures": "keep_mean", "candidates": "masked"},
            "trains for all of the measures",
        ),
        ({"trials": 0}, "trials"),
        ({"batch_size": 0}, "batch_size"),
        ({"seeds": 1}, "seeds"),
        ({"storage": "sqlite:////nowhere/at/all.db"}, "cannot be reached"),
        ({"storage": "nonsense"}, "cannot be reached"),
        ({"storage": 3}, "storage=3"),
        ({"truth": np.ones(5, bool)}, "`truth` has to have the shape"),
    ],
)
def test_errors_come_before_the_first_trial(options, message):
    x, y, truth = TABLE
    _ONE.clear()
    arguments = dict(
        build_model=problems.build_table,
        train=(x, y),
        validation=(x, y),
        truth=truth,
        verbose=0,
    )
    with pytest.raises(ValueError, match=message):
        keras_sgt.search(**{**arguments, **options})


@pytest.mark.slow_to_compile
def test_a_name_with_other_data_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    options = dict(trials=1, storage=storage, candidates=["adversarial"])
    first = search(**options)
    again = search(**options)  # nothing runs anew
    assert again.verdict == first.verdict
    assert [r.number for r in again.rows] == [0]
    with pytest.raises(ValueError, match="other tolerance"):
        search(tolerance=0.5, **options)


@pytest.mark.slow_to_compile
def test_interruption_ends_with_what_there_is():
    made = []

    def build():
        made.append(1)
        if len(made) > 8:  # 2 looked at, 2 candidates, 3 traditional, 1 trial
            raise KeyboardInterrupt
        return problems.build_table()

    x, y, truth = TABLE
    result = keras_sgt.search(
        build,
        (x, y),
        (x, y),
        candidates=["adversarial", "masked"],
        trials=4,
        epochs=1,
        truth=truth,
        verbose=0,
    )
    assert result.interrupted
    assert len(result.rows) == 1
    assert "Stopped before anything was confirmed" in result.verdict
    assert not result.wins


def test_student_quantiles_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 3.7, 30, 500):
        for p in (0.6, 0.975, 0.995):
            found = confirmation.student_quantile(p, freedom)
            assert found == pytest.approx(stats.t.ppf(p, freedom), rel=2e-3)


def test_intervals_over_seeds_are_those_of_the_paired_t_test():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(2, 5))
    a, b = np.repeat(seeds[..., None], 30, 2)  # samples all alike
    found = confirmation.paired(a, b)
    expected = stats.ttest_rel(*seeds).confidence_interval(0.95)
    assert found.value == pytest.approx((seeds[0] - seeds[1]).mean())
    assert found.low == pytest.approx(expected.low, rel=2e-3)
    assert found.high == pytest.approx(expected.high, rel=2e-3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        seeds, samples = rng.normal(size=(4, 1)), rng.normal(size=(1, 40))
        pairs = 0.5 + 0.1 * seeds + 0.3 * samples
        found = confirmation.paired(pairs, np.zeros_like(pairs))
        held.append(found.low <= 0.5 <= found.high)
    assert np.mean(held) >= 0.92


@pytest.mark.slow_to_compile
def test_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(pathlib.Path(__file__).parent)
    x, y, truth = TABLE
    data = tmp_path / "data.npz"
    np.savez(data, x=x, y=y, truth=np.broadcast_to(truth, x.shape))
    page, model = tmp_path / "search.html", tmp_path / "best.keras"
    options = (
        f"--train {data} --validation {data} --out {page} --model {model} "
        "--trials 1 --epochs 1 --seeds 2 --candidates adversarial"
    )
    arguments = ["search", "problems:build_table", *options.split()]
    assert main(arguments) == 0
    assert "train traditionally" in capsys.readouterr().out
    assert page.exists()
    assert keras.models.load_model(model).predict(x[:2], verbose=0).shape
    arguments[1] = "problems:nothing"
    assert main(arguments) == 2
    assert "cannot be imported" in capsys.readouterr().err


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Calls the command with other options than those that would do."""
    x, y, _ = TABLE
    np.savez(tmp_path / "train.npz", x=x, y=y)
    np.savez(tmp_path / "valid.npz", x=x, y=y)
    monkeypatch.chdir(tmp_path)

    def called(**options):
        options = {
            "train": "train.npz",
            "validation": "valid.npz",
            "out": "search.html",
            **options,
        }
        given = [
            part
            for name, value in options.items()
            for part in (f"--{name}", value)
        ]
        return main(["search", "problems:build_table", *given])

    return called


def test_the_command_refuses_before_the_work(
    called, tmp_path, capsys, monkeypatch
):
    def build_table():
        raise AssertionError("the work has started")

    monkeypatch.setattr(problems, "build_table", build_table)
    np.save("single.npy", TABLE[0])
    np.savez("keys.npz", x=TABLE[0])
    pathlib.Path("empty.npz").touch()
    for folder in ("folder", "folder.html", "folder.keras"):
        pathlib.Path(folder).mkdir()
    for link in ("train.html", "train.keras"):
        pathlib.Path(link).symlink_to("train.npz")
    pathlib.Path("out.keras").symlink_to("search.html")
    before = pathlib.Path("train.npz").read_bytes()
    for option, value, told in (
        ("out", "train.npz", "--out has to end in .html. Received: train.npz"),
        ("out", "folder", "--out has to end in .html"),
        ("out", "folder.html", "folder.html is a folder"),
        ("out", "no/where.html", "--out: there is no folder no"),
        ("out", "train.html", "--out would overwrite the input train.npz"),
        ("model", "best", "--model has to end in .keras. Received: best"),
        ("model", "", "--model has to end in .keras"),
        ("model", "folder.keras", "folder.keras is a folder"),
        ("model", "train.keras", "--model would overwrite the input train.npz"),
        ("model", "out.keras", "--model would overwrite what --out writes"),
        ("train", "single.npy", "--train has to be an .npz file"),
        ("train", "single.npy", "it is a single array; use numpy.savez"),
        ("validation", "empty.npz", "empty.npz: it is no such archive"),
        ("validation", "none.npz", "--validation: there is no file none.npz"),
        ("test", "keys.npz", "keys.npz lacks ['y']"),
        ("test", "", "--test: there is no file"),
    ):
        assert called(**{option: value}) == 2, value
        assert told in capsys.readouterr().err
    assert pathlib.Path("train.npz").read_bytes() == before
    assert not pathlib.Path("search.html").exists()


class Gone(io.StringIO):
    """A terminal that went away."""

    def write(self, text):
        raise BrokenPipeError("the terminal is gone")


def test_what_was_found_outlives_the_terminal(called, found, monkeypatch):
    monkeypatch.setattr(command, "search", lambda *_, **__: found)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert called(model="best.keras") == 2
    assert "<html" in pathlib.Path("search.html").read_text()
    for ours, theirs in zip(
        keras.models.load_model("best.keras").get_weights(),
        found.best.model.get_weights(),
    ):
        np.testing.assert_array_equal(ours, theirs)


def _no_space(*_):
    raise OSError("no space left")


def test_a_save_that_fails_takes_nothing_with_it(
    called, found, tmp_path, capsys, monkeypatch
):
    pathlib.Path("search.html").write_text("the old page")
    there = os.listdir(tmp_path)
    monkeypatch.setattr(command, "search", lambda *_, **__: found)
    # All is written by then, but under another name.
    monkeypatch.setattr(pathlib.Path, "replace", _no_space)
    assert called() == 2
    shown = capsys.readouterr()
    assert found.verdict in shown.out
    assert "no space left" in shown.err
    assert pathlib.Path("search.html").read_text() == "the old page"
    assert os.listdir(tmp_path) == there
