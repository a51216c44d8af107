"""The examples' runner: same start, nothing twice, one line a method."""

import csv
import functools
import os
import pathlib
import types

import keras
import numpy as np
import pytest

import keras_sgt
from keras_sgt import datasets, masking

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture
def example(monkeypatch):
    """Imports an example as it is when run as a script."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return __import__


SMALL = [
    "--methods",
    "gradient",
    "--seeds",
    "0",
    "--epochs",
    "1",
    "--trainings",
]


def tiny(*shape, classes=2):
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes),
        ]
    )


def points(rng_seed=0):
    rng = np.random.default_rng(rng_seed)
    x = rng.normal(size=(100, 4)).astype("float32")
    return datasets.Split(x, np.arange(100) % 2)


def small_series(time_series, monkeypatch):
    """Few series and a tiny network: what is slow is compiling."""
    monkeypatch.setattr(time_series, "VALID", 10)
    monkeypatch.setattr(time_series, "TEST", 10)
    monkeypatch.setitem(
        time_series.NETWORKS, "lstm", lambda *shape: tiny(*shape[:2])
    )
    return [
        *("--networks", "lstm", "--layouts", "middle"),
        *("--processes", "gaussian", "--train-samples", "20"),
        *SMALL,
    ]


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_runs_are_resumed_and_the_table_is_tidy(
    example, monkeypatch, tmp_path, capsys
):
    time_series = example("time_series")
    call = small_series(time_series, monkeypatch)
    path = str(tmp_path / "runs.csv")
    time_series.main([*call, "traditional", "--csv", path])
    first = read(path)
    time_series.main([*call, "traditional", "guided quarter", "--csv", path])
    rows = read(path)
    assert "done before" in capsys.readouterr().out
    assert rows[: len(first)] == first
    assert [row["training"] for row in rows] == [
        "traditional",
        "guided quarter",
    ]
    for row in rows:
        assert row["backend"] == keras.backend.backend()
        assert f"keras {keras.__version__}" in row["versions"]
        assert float(row["train_seconds"]) > 0
        assert 0 <= float(row["aup"]) <= 0.8
        assert row["seed"] == "0"
    # Of plain training there is no divergence.
    assert [row["divergence"] == "nan" for row in rows] == [True, False]
    # Another setting is another run.
    time_series.main(
        [*call, "traditional", "--csv", path, "--batch-size", "10"]
    )
    assert len(read(path)) == 3
    assert not list(tmp_path.glob("*.part"))


def test_seeds_are_those_of_keras_in_any_order(example):
    """A compiled network trains as one built after `set_random_seed`."""
    runner, tabular = example("runner"), example("tabular")
    build = functools.partial(example("networks").mlp, 4)
    # One batch: frameworks differ in what shuffling draws.
    args = tabular.arguments([*SMALL, "traditional", "--batch-size", "100"])
    data = points()
    training = runner.Training("traditional", build, None, args)
    training.fit(5, data, data)
    training.fit(3, data, data)
    keras.utils.set_random_seed(3)
    alone = build()
    alone.compile(
        keras.optimizers.Adam(0.001),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    alone.fit(data.x, data.y, batch_size=100, epochs=1, verbose=0)
    for ours, expected in zip(
        training.model.get_weights(), alone.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_run_does_not_depend_on_those_before(example):
    """Else what is resumed would differ from what is run at once."""
    runner, tabular = example("runner"), example("tabular")
    args = tabular.arguments([*SMALL, "guided", "--batch-size", "20"])
    data = points()
    weights = []
    for seeds in ([5, 3], [3]):
        training = runner.Training(
            "guided", lambda: tiny(4), masking.FeatureMasking, args
        )
        for seed in seeds:
            training.fit(seed, data, data)
        weights.append(training.model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_all_trainings_start_from_the_same_weights(example, monkeypatch):
    """Also after the step that compiles, which leaves others behind."""
    runner, tabular = example("runner"), example("tabular")
    args = tabular.arguments([*SMALL, "traditional"])
    starts = []

    def fit(model, *args, **kwargs):
        starts.append(model.get_weights())
        model.set_weights([weight + 1 for weight in starts[-1]])
        return types.SimpleNamespace(history={"accuracy": [0]})

    for cls in (keras.Model, keras_sgt.SaliencyGuidedModel):
        monkeypatch.setattr(cls, "fit", fit)
    weights = []
    for kind in runner.TRAININGS:
        training = runner.Training(
            kind, lambda: tiny(4), masking.FeatureMasking, args
        )
        training.fit(0, points(), points())
        weights.append(starts[-1])
    assert len(starts) == 2 * len(weights)
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_fine_tuning_guides_the_last_epochs_only(example):
    runner, tabular = example("runner"), example("tabular")
    build = functools.partial(example("networks").mlp, 4)
    data, weights = points(), []
    for kind, epochs in (("traditional", "2"), ("fine-tuned", "3")):
        call = [*SMALL, kind, "--batch-size", "100", "--epochs", epochs]
        # The guided epoch alone has another rate, too small to matter.
        args = tabular.arguments([*call, "--guided-rate", "1e-12"])
        training = runner.Training(kind, build, masking.FeatureMasking, args)
        found = training.fit(1, data, data)
        weights.append(training.model.get_weights())
    assert found["divergence"] > 0
    for ours, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.parametrize(
    ("costs", "chosen", "tried"),
    [
        ({1: 0.004, 0.3: 0, 0.1: 0}, 1, [1]),
        ({1: 0.02, 0.3: 0.004, 0.1: 0}, 0.3, [1, 0.3]),
        ({1: 0.02, 0.3: 0.02, 0.1: 0.02}, 0.1, [1, 0.3, 0.1]),
    ],
    ids=["the largest", "the next", "all cost too much"],
)
def test_weight_is_the_largest_that_keeps_accuracy(
    example, monkeypatch, costs, chosen, tried
):
    """And is chosen without a look at the test samples."""
    runner, tabular = example("runner"), example("tabular")
    train, valid, test = (points(seed) for seed in range(3))
    seen = []

    def compare(
        task, network, build, masking, data, measure, args, table, options
    ):
        assert data == (train, valid, valid)
        assert args.seeds == [runner.SELECTION_SEED]
        seen.append((*args.trainings, args.kl_weight))

    class Table:
        def find(self, training, kl_weight, **_):
            lost = costs[kl_weight] if training == "fine-tuned" else 0
            return [{"valid_accuracy": str(0.9 - lost)}]

    monkeypatch.setattr(runner, "compare", compare)
    args = tabular.arguments([*SMALL, "guided"])
    found = runner.chosen_weight(
        *((1, 0.3, 0.1), "texts", "mlp", None, None),
        *((train, valid, test), args, Table()),
    )
    assert found == chosen
    assert seen == [
        ("traditional", 1),
        *(("fine-tuned", weight) for weight in tried),
    ]
    assert args.trainings == ["guided"]


@pytest.mark.slow_to_compile
def test_patience_keeps_the_epoch_that_validates_best(example):
    runner, tabular = example("runner"), example("tabular")
    build = functools.partial(example("networks").mlp, 4)
    # Noise: what one epoch gains in validation, the next may lose.
    train, valid = points(0), points(1)
    call = ["--batch-size", "100", "--learning-rate", "0.1"]
    args = tabular.arguments([*SMALL, "traditional", *call])
    training = runner.Training("traditional", build, None, args)
    found = []
    for args.epochs, args.patience in ((1, 0), (2, 0), (3, 0), (4, 0), (4, 4)):
        of = [training.fit(seed, train, valid) for seed in range(4)]
        found.append([fit["valid_accuracy"] for fit in of])
    *each, kept = np.array(found)
    assert (each[-1] < np.max(each, axis=0)).any()
    np.testing.assert_array_equal(kept, np.max(each, axis=0))


def folder(name):
    root = os.environ.get("KERAS_SGT_DATA")
    if not root or not os.path.isdir(os.path.join(root, name)):
        pytest.skip(f"KERAS_SGT_DATA has no {name}")


@pytest.mark.slow_to_compile
def test_language(example, tmp_path):
    folder("eraser_movies")
    language = example("language")
    path = str(tmp_path / "runs.csv")
    language.main(
        [
            *("--length", "30", "--width", "8", "--train-samples", "64"),
            *("--test-samples", "20", *SMALL, "guided", "--csv", path),
        ]
    )
    (row,) = read(path)
    assert row["task"] == "movies"
    assert float(row["divergence"]) > 0
    assert float(row["comprehensiveness"]) != float(row["sufficiency"])
    assert 0 < float(row["token_auprc"]) < 1


def test_runs_on_other_test_texts_are_other_runs(example):
    language = example("language")
    usual, fewer, more = (
        language.named(language.arguments(list(call)), {})
        for call in ((), ("--test-samples", "300"), ("--test-samples", "3000"))
    )
    assert usual == "400 words of 0, width 100, absolute ranking"
    assert (fewer, more) == tuple(
        f"{usual}, {n} test texts" for n in (300, 3000)
    )


def test_language_measures_what_the_deciding_word_does(example):
    """Word 5 says the class: relevance on it alone is right, off it wrong."""
    language = example("language")
    model = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            keras.layers.Embedding(6, 1),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(2),
        ]
    )
    deciding = np.eye(6)[:, 5:]
    model.set_weights([deciding, np.array([[-8, 8]]), np.array([4, -4])])
    x = np.tile(np.arange(1, 5, dtype="int32"), (4, 3))
    x[:, -1] = language.PADDING
    x[:2, 3] = 5
    test = datasets.Split(x, np.array([1, 1, 0, 0]), x == 5)

    class Reader:
        def __call__(self, model, x):
            yield "right", (x == 5) + 0.1
            yield "wrong", (x != 5) + 0.1

    Reader.model = model
    found = language.measure(Reader(), test, model)
    right, wrong = found["right"], found["wrong"]
    # Half of the texts have the word; the others change by nothing.
    assert right["comprehensiveness"] == pytest.approx(0.5, abs=0.01)
    assert right["sufficiency"] == pytest.approx(0, abs=0.01)
    assert wrong["comprehensiveness"] == pytest.approx(0, abs=0.01)
    assert wrong["sufficiency"] == pytest.approx(0.5, abs=0.01)
    assert right["token_auprc"] == right["token_iou_f1"] == 1
    assert wrong["token_auprc"] < 0.2
    assert wrong["token_iou_f1"] == 0


def test_unknown_methods_are_named(example, monkeypatch):
    time_series = example("time_series")
    call = small_series(time_series, monkeypatch)
    with pytest.raises(SystemExit, match="no \\['gradients'\\] in"):
        time_series.main([*call, "traditional", "--methods", "gradients"])


def test_vectors_are_read_by_their_words(example, tmp_path):
    language = example("language")
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2\nunheard 5 6\nbad 3 4\n")
    ids = language.vocabulary([["good", "good", "bad", "bad", "rare"]], 10)
    assert set(ids) == {"good", "bad"}
    found = language.vectors(path, ids, width=2)
    assert found[ids["good"]].tolist() == [1, 2]
    assert found[ids["bad"]].tolist() == [3, 4]
    assert found[language.PADDING].tolist() == [0, 0]


def test_series_of_the_archive(example, tmp_path, monkeypatch):
    real_series = example("real_series")
    folder = tmp_path / "ucr" / "GunPoint"
    folder.mkdir(parents=True)
    for part, rows in (("TRAIN", 10), ("TEST", 2)):
        lines = [f"{i},1.5,-2e-1:{1 + i % 2}" for i in range(rows)]
        text = "# Notes\n@seriesLength 3\n@data\n" + "\n".join(lines) + "\n"
        (folder / f"GunPoint_{part}.ts").write_text(text)
    monkeypatch.setenv("KERAS_SGT_DATA", str(tmp_path))
    train, valid, test = real_series.archived("GunPoint")
    # Every fifth of those to train with validates.
    assert [s.x.shape for s in (train, valid, test)] == [
        *((8, 3, 1), (2, 3, 1), (2, 3, 1))
    ]
    found = np.concatenate([train.x, valid.x])[..., 0]
    assert sorted(found[:, 0]) == list(range(10))
    np.testing.assert_allclose(found[:, 1:], [[1.5, -0.2]] * 10)
    labels = np.concatenate([train.y, valid.y])
    np.testing.assert_array_equal(labels, found[:, 0] % 2)
    scaled = real_series.standardised([train, valid, test])[0].x
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1, abs=1e-6)


def test_real_series_measure_what_the_deciding_value_does(example):
    """The first of 100 values is 4 or -4 and is all that counts."""
    real_series = example("real_series")
    model = tiny(100, 1)
    kernel = np.zeros((100, 2))
    kernel[0] = [-0.5, 0.5]
    model.set_weights([kernel, np.zeros(2)])
    x = np.zeros((4, 100, 1), "float32")
    y = np.array([1, 0, 1, 0])
    x[:, 0, 0] = 8 * y - 4
    on_it, off_it = (x != 0).astype(float), (x == 0).astype(float)
    sample = datasets.Split(x, y)
    right, wrong = (
        real_series.measures(model, sample, maps) for maps in (on_it, off_it)
    )
    # The value, or the channel's mean, ±0.04, in its place.
    whole, filled = (1 / (1 + np.exp(-value)) for value in (4, 0.04))
    assert right["sufficiency"] == pytest.approx(0, abs=1e-6)
    assert right["comprehensiveness"] == pytest.approx(whole - filled)
    assert wrong["sufficiency"] == pytest.approx(whole - filled)
    assert wrong["comprehensiveness"] == pytest.approx(0, abs=1e-6)
    # The mean has the sign of the value; another sample's may not.
    assert right["drop_mean"] == wrong["drop_mean"] == pytest.approx(0.9)
    assert right["drop_sample"] < wrong["drop_sample"] == pytest.approx(0.9)


@pytest.mark.slow_to_compile
def test_tabular(example, tmp_path):
    folder("adult")
    tabular = example("tabular")
    path = str(tmp_path / "runs.csv")
    tabular.main(
        [
            *("--train-samples", "2000", "--map-samples", "100"),
            *(*SMALL, "traditional", "guided", "--csv", path),
        ]
    )
    for row in read(path):
        assert 0.7 < float(row["accuracy"]) < 0.9
        # Half of the columns are shuffled copies.
        assert 0.4 < float(row["mass_on_true_columns"]) < 1


def photographs(folder, classes=3, each=8):
    """Sorted by class, as those of pets; the animal is a quarter of each."""
    image = pytest.importorskip("PIL.Image")
    for name in ("images", "trimaps"):
        (folder / name).mkdir(parents=True)
    rows = ["name\tlabel\tsplit"]
    rng = np.random.default_rng(0)
    trimap = np.full((24, 24), 2, "uint8")
    trimap[:12, :12] = 1
    for label in range(classes):
        for i in range(2 * each):
            name = f"animal{label}_{i}"
            rows.append(f"{name}\t{label}\t{('trainval', 'test')[i % 2]}")
            pixels = rng.integers(0, 256, (24, 24, 3)).astype("uint8")
            image.fromarray(pixels).save(folder / "images" / f"{name}.jpg")
            image.fromarray(trimap).save(folder / "trimaps" / f"{name}.png")
    (folder / "index.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_images_of_a_folder(example, tmp_path):
    images = example("images")
    folder = str(photographs(tmp_path / "own"))
    path = str(tmp_path / "runs.csv")
    call = ["--dataset", "pets", "--folder", folder, "--size", "24"]
    images.main(
        [
            *(*call, "--network", "mnist_cnn", "--map-samples", "6"),
            *(*SMALL, "random mask", "--csv", path),
            *("--methods", "gradient", "random"),
        ]
    )
    gradient, random = read(path)
    assert gradient["options"] == "6 maps of 3 classes, 24 pixels, own"
    assert gradient["train_samples"] == "22"
    assert 0 < float(gradient["mass_on_object"]) < 1
    assert float(random["mass_on_object"]) == pytest.approx(0.25, abs=0.03)
    assert len(gradient["drop_curve"].split()) == 10
    with pytest.raises(SystemExit):
        images.main(["--folder", folder])


def test_photographs_with_maps_are_of_every_class(example):
    """Their test split is sorted by class: the first would be of one."""
    images = example("images")
    y = np.repeat([0, 1, 2], [20, 30, 25])
    test = datasets.Split(np.arange(75.0)[:, None, None, None], y, y > 0)
    sample = images.with_maps(test, 12, balanced=True)
    assert np.bincount(sample.y).tolist() == [4, 4, 4]
    places = sample.x.ravel().astype(int)
    np.testing.assert_array_equal(sample.y, y[places])
    assert places.tolist() != np.sort([*range(4), *range(20, 24)]).tolist()
    again = images.with_maps(test, 12, balanced=True)
    np.testing.assert_array_equal(again.x, sample.x)
    assert len(images.with_maps(test, 1000, balanced=True)) == 75
    first = images.with_maps(test, 12, balanced=False)
    assert first.x.ravel().tolist() == list(range(12))
