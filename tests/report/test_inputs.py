"""`compare` takes what `fit` took, and says what it cannot take."""

import contextlib
import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt import attribution, evaluation

RNG = np.random.default_rng(0)


def classifier(shape=(8,), seed=0, units=3, activation="softmax"):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(units, activation),
        ]
    )


def pair(*args, **options):
    return {
        "plain": classifier(*args, **options),
        "guided": classifier(*args, seed=1, **options),
    }


def rows(result):
    return {
        (r["model"], r["method"], r["measure"]): round(r["value"], 5)
        for r in result.rows
    }


def compared(models, x, y=None, **options):
    options = {"methods": ["gradient"], "verbose": 0, **options}
    return keras_sgt.compare(models, x, y, **options)


def content(result, path):
    """What the page's script is given to draw."""
    result.save(path)
    text = path.read_text().split('id="data">')[1]
    return json.loads(text.split("</script>")[0])


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 4

    def __getitem__(self, i):
        part = slice(5 * i, 5 * i + 5)
        return self.x[part], self.y[part], np.ones(5)


class Endless(Batches):
    @property
    def num_batches(self):
        return None


def data_sets(x, y):
    """One data set of each kind that the backend brings."""
    yield Batches(x, y)
    yield [(x[:7], y[:7]), (x[7:], y[7:])]
    yield list(zip(x, y))  # samples, not batches
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        tensors = torch.utils.data.TensorDataset(
            torch.tensor(x), torch.tensor(y)
        )
        yield torch.utils.data.DataLoader(tensors, batch_size=6)
    if backend == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((x, y))
        yield dataset
        yield dataset.batch(6)
        with pytest.raises(ValueError, match="does not end"):
            compared(pair(), dataset.batch(6).repeat())


class TestDataSets:
    def test_are_read_whole(self):
        x = RNG.normal(size=(20, 8)).astype("float32")
        y = np.arange(20) % 3
        models = pair()
        expected = rows(compared(models, x, y))
        for data in data_sets(x, y):
            assert rows(compared(models, data)) == expected, type(data)

    def test_of_nests(self):
        models, x, y = columns()
        expected = rows(compared(models, x, y))
        batches = [
            ({k: v[i : i + 8] for k, v in x.items()}, y[i : i + 8])
            for i in (0, 8, 16)
        ]
        assert rows(compared(models, batches)) == expected

    @pytest.mark.parametrize("given", ["batches", "samples", "tf.data"])
    def test_of_texts_of_any_length(self, given):
        texts = [RNG.integers(1, 9, n) for n in (2, 3, 5, 5, 4, 1, 1)]
        padded = keras.utils.pad_sequences(texts, padding="post")
        y = np.arange(7) % 2
        batches = [(padded[:2, :3], y[:2]), (padded[2:], y[2:])]
        data = batches if given == "batches" else list(zip(texts, y))
        if given == "tf.data":
            tf = pytest.importorskip("tensorflow")
            data = tf.data.Dataset.from_generator(
                lambda: zip(texts, y),
                output_signature=(
                    tf.TensorSpec([None], "int32"),
                    tf.TensorSpec([], "int32"),
                ),
            ).padded_batch(2)
        model = reader(0, False, None)
        options = {"measures": ["gini"]}
        result = compared({"a": model}, data, **options)
        assert result.domain == "text"
        np.testing.assert_array_equal(result.x, padded)
        expected = compared({"a": model}, padded, y, **options)
        assert rows(result) == rows(expected)
        right = [
            model.predict(ids, verbose=0).argmax(1) == labels
            for ids, labels in batches
        ]
        accuracy = np.concatenate(right).mean()
        assert rows(result)["a", None, "accuracy"] == pytest.approx(
            accuracy, abs=1e-5
        )

    @pytest.mark.parametrize("what", ["series", "rows", "labels"])
    def test_what_cannot_be_padded_is_told(self, what):
        shapes = {"series": [(4, 5, 8), (4, 6, 8)]}.get(what, [(4, 8), (4, 7)])
        data = [(np.ones(shape, "float32"), np.ones(4)) for shape in shapes]
        if what == "labels":
            data = [(y[:, :1], y.astype(int)) for y, _ in data]
        name = "y" if what == "labels" else "x"
        sizes = rf"`{name}` have.*maxlen.*\({shapes[0][1]}.*\({shapes[1][1]}"
        with pytest.raises(ValueError, match=sizes):
            compared(pair(), data)

    def test_what_is_no_data_set(self):
        x = np.ones((20, 8), "float32")
        for data, told in {
            "arrays": "`y` is missing",
            "endless": "does not end",
            "words": "has to yield",
            "empty": "yields nothing",
            "number": "a data set that yields",
        }.items():
            given = {
                "arrays": x,
                "endless": Endless(x, x),
                "words": iter(["a"]),
                "empty": iter([]),
                "number": 3,
            }[data]
            with pytest.raises(ValueError, match=told):
                compared(pair(), given)


@pytest.mark.parametrize(
    ("shape", "batch_size"), [((8,), 512), ((28, 28, 1), 256), ((99, 99), 64)]
)
def test_small_samples_go_through_together(shape, batch_size):
    x, y = RNG.normal(size=(20, *shape)), np.arange(20) % 3
    models = {"only": classifier(shape)}
    result = compared(models, x, y, measures=["gini"])
    assert result.batch_size == batch_size
    own = compared(models, x, y, measures=["gini"], batch_size=7)
    assert own.batch_size == 7
    assert rows(own) == rows(result)


@pytest.mark.slow_to_compile
def test_labels_in_any_form():
    x, y = RNG.normal(size=(20, 8)), np.arange(20) % 3
    models = pair()
    expected = rows(compared(models, x, y))
    for form in (np.eye(3)[y], y[:, None], y.astype("float32"), y.tolist()):
        assert rows(compared(models, x, form)) == expected


@pytest.mark.slow_to_compile
def test_truth_without_channels():
    x = RNG.normal(size=(12, 6, 6, 3)).astype("float32")
    truth = np.zeros((12, 6, 6), bool)
    truth[:, :3] = True
    models = pair((6, 6, 3))
    found = [
        rows(compared(models, x, np.arange(12) % 3, truth=given))
        for given in (truth, truth[..., None], truth[..., None] & (x < 99))
    ]
    assert found[0] == found[1] == found[2]


@contextlib.contextmanager
def data_format(wanted):
    usual = keras.config.image_data_format()
    keras.config.set_image_data_format(wanted)
    try:
        yield
    finally:
        keras.config.set_image_data_format(usual)


class TestChannelsFirst:
    """The same as channels last, of a model that moves the axis itself."""

    def given(self, channels):
        x = RNG.normal(size=(8, 6, 9, channels)).astype("float32")
        truth = np.zeros(x.shape[:3], bool)
        truth[:, 2:5, :4] = True
        last = pair((6, 9, channels))
        first = {}
        for name, model in last.items():
            moves = [keras.Input((channels, 6, 9)), layers.Permute((2, 3, 1))]
            first[name] = keras.Sequential([*moves, *model.layers])
        return x, np.arange(8) % 3, truth, last, first

    @pytest.mark.slow_to_compile
    @pytest.mark.parametrize("channels", [3, 4])
    def test_truth_and_page(self, channels, tmp_path):
        x, y, truth, last, first = self.given(channels)
        expected = compared(last, x, y, truth=truth)
        drawn = content(expected, tmp_path / "last.html")
        with data_format("channels_first"):
            moved = np.moveaxis(x, -1, 1)
            for own in (truth, truth[:, None] & (moved < 99)):
                found = compared(first, moved, y, truth=own)
                assert rows(found) == rows(expected)
            again = content(found, tmp_path / "first.html")
            with pytest.raises(ValueError, match=r"truth.any\(1"):
                compared(first, moved, y, truth=moved > 0)
        assert again["shape"] == drawn["shape"] == [6, 9]
        assert {**again, "steps": 6} == drawn  # steps are of series

    def test_is_computed_anew(self, tmp_path):
        x, y = RNG.normal(size=(12, 4, 4, 4)), np.arange(12) % 3
        given = {"a": classifier((4, 4, 4))}, x, y
        options = {"measures": ["accuracy_drop"]}
        last = compared(*given, cache=tmp_path, **options)
        with data_format("channels_first"):
            expected = rows(compared(*given, **options))
            found = compared(*given, cache=tmp_path, **options)
        assert rows(found) == expected != rows(last)

    def test_figures(self):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        x = RNG.normal(size=(2, 6, 9, 3))
        pixels = []
        for wanted, axis in (("channels_last", -1), ("channels_first", 1)):
            with data_format(wanted):
                maps, images = (np.moveaxis(a, -1, axis) for a in (x, x**2))
                ax = keras_sgt.report.plot_maps(maps, images)
                pixels.append(ax.images[0].get_array())
                pyplot.close(ax.figure)
        np.testing.assert_allclose(*pixels)

    def test_pictures_while_training(self, tmp_path):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        x, y, truth, last, first = self.given(3)
        pictures = []
        for wanted, models, axis in (
            ("channels_last", last, -1),
            ("channels_first", first, 1),
        ):
            with data_format(wanted):
                moved = np.moveaxis(x, -1, axis)
                monitor = keras_sgt.callbacks.SaliencyMonitor(
                    moved[:1], y[:1], truth=truth[:1], folder=tmp_path / wanted
                )
                monitor.set_model(models["plain"])
                monitor.on_train_begin()
                monitor.on_epoch_end(0, {})
            picture = tmp_path / wanted / "saliency-0001.png"
            pictures.append(pyplot.imread(picture))
        np.testing.assert_allclose(*pictures, atol=0.02)


def test_names_in_arrays(tmp_path):
    pandas = pytest.importorskip("pandas")
    x, y = RNG.normal(size=(20, 8)), np.arange(20) % 3
    classes, features = ["cat", "dog", "owl"], list("abcdefgh")
    for shape, domain in (((8,), "table"), ((4, 2), "series")):
        own = features[: shape[-1]]
        options = {"measures": ["gini"], "domain": domain}
        given = {"a": classifier(shape)}, x.reshape(20, *shape), y
        expected = compared(
            *given, class_names=classes, feature_names=own, **options
        )
        found = compared(
            *given,
            class_names=np.array(classes),
            feature_names=pandas.DataFrame(columns=own).columns,
            **options,
        )
        pages = [content(r, tmp_path / "a.html") for r in (found, expected)]
        assert pages[0] == pages[1]
        assert pages[0]["classNames"] == classes
        found.figure()
    for names in ("cat", {0: "a", 1: "b", 2: "c"}, 3):
        for argument in ("class_names", "feature_names"):
            with pytest.raises(ValueError, match=f"{argument}. has to be a li"):
                compared(pair(), x, y, **{argument: names})


def columns(text=False):
    """Models of a dict of columns: two numbers, one category."""
    x = {
        "hours": RNG.normal(size=24).astype("float32"),
        "age": RNG.normal(size=24).astype("float32"),
        "city": RNG.integers(0, 4, 24).astype("int32"),
    }
    models = {}
    for seed, name in enumerate(("plain", "guided")):
        keras.utils.set_random_seed(seed)
        inputs = {
            "hours": keras.Input((1,), name="hours"),
            "age": keras.Input((1,), name="age"),
            "city": keras.Input((1,), name="city", dtype="int32"),
        }
        city = layers.Flatten()(layers.Embedding(4, 2)(inputs["city"]))
        mixed = layers.Concatenate()([inputs["hours"], inputs["age"], city])
        output = layers.Dense(2, "softmax")(mixed)
        models[name] = keras.Model(inputs, output)
    return models, x, np.arange(24) % 2


class TestColumns:
    def test_a_dict_is_a_table(self):
        models, x, y = columns()
        result = compared(models, x, y)
        assert result.domain == "table"
        assert result.feature_names == ["age", "city", "hours"]
        # As a model of one array of the same columns.
        maps = attribution.Gradient(models["plain"])(x)
        found = result.part("plain", "gradient")["maps"]
        expected = np.stack([maps[n] for n in ("age", "city", "hours")], 1)
        shown = expected[result.shown]
        np.testing.assert_allclose(found, shown, rtol=1e-5)
        right = models["plain"].predict(x, verbose=0).argmax(1) == y
        accuracy = rows(result)["plain", None, "accuracy"]
        assert accuracy == pytest.approx(right.mean(), abs=1e-5)

    def test_a_category_is_never_averaged(self):
        models, x, y = columns()
        seen = []
        predict = models["plain"].predict

        def recorded(x, **options):
            seen.append(x["city"])
            return predict(x, **options)

        models["plain"].predict = recorded
        compared(models, x, y, measures=["deletion"])
        cities = np.concatenate(seen)
        assert cities.dtype == "int32"
        assert set(cities.tolist()) <= {0, 1, 2, 3}
        # What is removed becomes the most frequent one.
        most = np.bincount(x["city"]).argmax()
        assert (seen[-1][-24:] == most).mean() > (x["city"] == most).mean()

    def test_a_frame_of_numbers(self):
        pandas = pytest.importorskip("pandas")
        values = RNG.normal(size=(20, 8))
        y = pandas.Series(np.arange(20) % 3, index=range(5, 25))
        frame = pandas.DataFrame(values, columns=list("abcdefgh"))
        models = pair()
        result = compared(models, frame, y)
        assert result.feature_names == list("abcdefgh")
        assert rows(result) == rows(compared(models, values, y))

    def test_a_frame_of_whole_numbers(self):
        pandas = pytest.importorskip("pandas")
        values, y = RNG.integers(0, 5, (20, 8)), np.arange(20) % 3
        models, options = {"a": classifier()}, {"measures": ["gini"]}
        frame = pandas.DataFrame(values)
        result = compared(models, frame, y, **options)
        assert result.domain == "table"
        assert rows(result) == rows(
            compared(models, values * 1.0, y, **options)
        )
        # Ids of tokens in a frame have to be called so.
        models = {"a": reader(0, False, 8)}
        result = compared(models, frame + 1, y % 2, domain="text", **options)
        expected = compared(models, values + 1, y % 2, **options)
        assert rows(result) == rows(expected)

    def test_a_frame_of_columns(self):
        pandas = pytest.importorskip("pandas")
        models, x, y = columns()
        result = compared(models, pandas.DataFrame(x), y)
        assert rows(result) == rows(compared(models, x, y))

    @pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="tensors of text are TensorFlow's",
    )
    def test_categories_as_text(self, tmp_path):
        inputs = {
            "age": keras.Input((1,), name="age"),
            "city": keras.Input((1,), name="city", dtype="string"),
        }
        lookup = layers.StringLookup(vocabulary=["Rome", "Oslo"])
        city = layers.Flatten()(layers.Embedding(3, 2)(lookup(inputs["city"])))
        mixed = layers.Concatenate()([inputs["age"], city])
        output = layers.Dense(2, "softmax")(mixed)
        model = keras.Model(inputs, output)
        x = {
            "age": RNG.normal(size=12).astype("float32"),
            "city": np.array(["Rome", "Oslo", "Oslo"] * 4, object),
        }

        def method(model):
            def attribute(x, batch_size):
                return {k: np.ones(len(v)) for k, v in x.items()}

            return attribute

        text = keras.ops.convert_to_tensor(x["city"].tolist(), "string")
        age = keras.ops.convert_to_tensor(x["age"])
        outputs = model({"age": age[:, None], "city": text[:, None]})
        y = keras.ops.convert_to_numpy(outputs).argmax(1)
        result = compared({"a": model}, x, y, methods={"given": method})
        assert rows(result)["a", None, "accuracy"] == 1
        result.save(tmp_path / "page.html")
        assert '"Oslo"' in (tmp_path / "page.html").read_text()

    @pytest.mark.slow_to_compile
    @pytest.mark.parametrize("text", [False, True])
    def test_noise_leaves_categories_alone(self, text):
        """A model that is linear in its numbers, whatever the category."""
        if text and keras.backend.backend() != "tensorflow":
            pytest.skip("tensors of text are TensorFlow's")
        x = {
            "age": RNG.normal(size=24).astype("float32"),
            "city": RNG.integers(0, 20, 24).astype("int32"),
            "hours": RNG.normal(size=24).astype("float32"),
        }
        inputs = {name: keras.Input((1,), name=name) for name in x}
        inputs["city"] = city = keras.Input((1,), name="city", dtype="int32")
        if text:
            names = np.array([f"city {i:02}" for i in range(20)])
            x["city"] = names[x["city"]]
            inputs["city"] = keras.Input((1,), name="city", dtype="string")
            city = layers.StringLookup(
                vocabulary=names.tolist(), num_oov_indices=0
            )(inputs["city"])
        parts = [
            inputs["age"],
            layers.Flatten()(layers.Embedding(20, 3)(city)),
            inputs["hours"],
        ]
        outputs = layers.Dense(1)(layers.Concatenate()(parts))
        models = {"plain": keras.Model(inputs, outputs)}
        y = x["age"] + x["hours"]
        result = compared(models, x, y, methods=["gradient", "random"])
        found = rows(result)
        assert found["plain", "gradient", "infidelity"] < 1e-6
        assert found["plain", "gradient", "sensitivity"] < 1e-6
        assert found["plain", "random", "infidelity"] > 1e-3

    @pytest.mark.slow_to_compile
    @pytest.mark.parametrize("given", ["nest", "frame", "array"])
    def test_noise_needs_floats(self, given):
        pandas = pytest.importorskip("pandas")
        x, y = RNG.integers(0, 4, (24, 2)), RNG.normal(size=24)
        models = {"a": classifier((2,), units=1, activation=None)}
        options = {"domain": "table"} if given == "array" else {}
        floats = x.astype("float32")
        if given == "frame":
            x, floats = pandas.DataFrame(x), pandas.DataFrame(floats)
        if given == "nest":
            x, floats = dict(zip("ab", x.T)), dict(zip("ab", floats.T))
            inputs = {name: keras.Input((1,), name=name) for name in x}
            sides = layers.Concatenate()([*inputs.values()])
            models = {"a": keras.Model(inputs, layers.Dense(1)(sides))}
        result = compared(models, x, y, **options)
        noisy = {"infidelity", "sensitivity"}
        assert result.domain == "table"
        assert set(result.measures) == {"output_change", "output_left", "gini"}
        told = "noise needs columns of floats: infidelity, sensitivity."
        assert told in result.note
        with pytest.raises(ValueError, match="some columns are floats"):
            compared(models, x, y, measures=["infidelity"], **options)
        result = compared(models, floats, y, **options)
        assert noisy < set(result.measures)
        assert "noise" not in result.note

    def test_noise_on_other_columns_is_computed_anew(self, tmp_path):
        pandas = pytest.importorskip("pandas")
        floats = pandas.DataFrame(RNG.integers(0, 9, (24, 2)) * 1.0)
        model = classifier((2,), units=1, activation=None)
        given = {"measures": ["infidelity"], "methods": ["random"]}
        y, found = RNG.normal(size=24), []
        for frame in (floats, floats.astype({0: "int64"})):
            kept = compared({"a": model}, frame, y, cache=tmp_path, **given)
            assert rows(kept) == rows(compared({"a": model}, frame, y, **given))
            found.append(rows(kept))
        assert found[0] != found[1]

    def test_inputs_of_other_lengths_are_told(self):
        models, x, y = columns()
        x["age"] = x["age"][:5]
        with pytest.raises(ValueError, match="'age': 5"):
            compared(models, x, y)


HUB = ("token_ids", "padding_mask")


def reader(seed, padded, length=7, names=HUB):
    """A text model of token ids with a mask of what is padding."""
    keras.utils.set_random_seed(seed)
    ids = keras.Input((length,), name=names[0], dtype="int32")
    vectors = layers.Embedding(9, 4)(ids)
    inputs = ids
    if padded:
        mask = keras.Input((length,), name=names[1], dtype="int32")
        inputs = dict(zip(names, (ids, mask)))
        weights = keras.ops.cast(mask, "float32")[..., None]
        pooled = keras.ops.sum(vectors * weights, 1)
    else:
        weights = keras.ops.cast(ids > 0, "float32")[..., None]
        pooled = keras.ops.sum(vectors * weights, 1)
    return keras.Model(inputs, layers.Dense(2, "softmax")(pooled))


class Tokenizer:
    def id_to_token(self, i):
        return f"<{i}>"


@pytest.mark.slow_to_compile
class TestTexts:
    def given(self):
        x = RNG.integers(1, 9, (12, 7)).astype("int32")
        x[:, 5:] = 0
        return x, np.arange(12) % 2

    @pytest.mark.parametrize("names", [HUB, ("input_ids", "attention_mask")])
    def test_a_mask_goes_along_with_its_token(self, names):
        ids, y = self.given()
        x = dict(zip(names, (ids, (ids > 0).astype("int32"))))
        found = compared({"a": reader(0, True, names=names)}, x, y)
        assert found.domain == "text"
        # A model that makes the mask itself, of the same weights.
        assert rows(found) == rows(compared({"a": reader(0, False)}, ids, y))
        np.testing.assert_array_equal(found.x, ids[found.shown])

    @pytest.mark.slow_to_compile
    def test_ids_are_decoded_by_what_knows_words(self, tmp_path):
        ids, y = self.given()
        words = ["", *"abcdefgh"]

        class Vectorization:
            def get_vocabulary(self):
                return words

        for vocabulary in (
            words,
            dict(enumerate(words)),
            Vectorization(),
            Tokenizer(),
            lambda i: words[i],
        ):
            found = compared(
                {"a": reader(0, False)}, ids, y, vocabulary=vocabulary
            )
            found.save(tmp_path / "page.html")
            text = (tmp_path / "page.html").read_text()
            token = f"<{ids[0, 0]}>"
            expected = words[ids[0, 0]]
            if isinstance(vocabulary, Tokenizer):
                expected = token.replace("<", "\\u003c").replace(">", "\\u003e")
            assert f'"tokens": ["{expected}"' in text
        with pytest.raises(ValueError, match="get_vocabulary"):
            compared({"a": reader(0, False)}, ids, y, vocabulary=3)


@pytest.mark.slow_to_compile
class TestRegression:
    def given(self, units=1):
        x = RNG.normal(size=(40, 5)).astype("float32")
        kernel = np.array([[3.0], [1], [0], [0], [0]]) * np.ones((1, units))
        y = x @ kernel + 0.01 * RNG.normal(size=(40, units))
        models = {}
        for name, change in (("plain", 0.1), ("guided", 0.0)):
            models[name] = classifier((5,), units=units, activation=None)
            models[name].set_weights([kernel + change, np.zeros(units)])
        return models, x, y

    def test_is_told_and_measured(self, tmp_path):
        models, x, y = self.given()
        result = compared(models, x, y[:, 0], methods=["gradient", "random"])
        assert result.task == "regression"
        assert {r["measure"] for r in result.rows} == {
            "r2",
            "output_change",
            "output_left",
            "infidelity",
            "sensitivity",
            "gini",
        }
        found = rows(result)
        predicted = models["plain"].predict(x, verbose=0)
        r2 = 1 - ((predicted - y) ** 2).mean() / y.var()
        assert found["plain", None, "r2"] == pytest.approx(r2, abs=1e-4)
        # A linear model's gradient says all of it.
        assert found["guided", "gradient", "infidelity"] < 1e-6
        assert found["guided", "gradient", "sensitivity"] < 1e-6
        change = evaluation.output_change(
            models["guided"], x, attribution.Gradient(models["guided"])(x)
        )
        assert found["guided", "gradient", "output_change"] == pytest.approx(
            change.value, abs=1e-4
        )
        for measure, better in (("output_change", 1), ("output_left", -1)):
            gain = (
                found["guided", "gradient", measure]
                - found["guided", "random", measure]
            )
            assert better * gain > 0.1
        assert "accuracy-drop area" in result.note.split("Left out")[1]
        assert "R² " in result.verdict
        result.save(tmp_path / "page.html")
        result.figure()

    def test_what_says_the_mean_has_no_reasons(self):
        models, x, y = self.given()
        models["guided"].set_weights([np.zeros((5, 1)), np.zeros(1)])
        assert (
            "guided is hardly better than to say the mean always"
            in compared(models, x, y).verdict
        )

    @pytest.mark.slow_to_compile
    def test_of_several_outputs(self):
        models, x, y = self.given(2)
        result = compared(models, x, y)
        assert result.task == "regression"
        assert result.part("plain")["outputs"].shape == (24, 2)

    def test_classification_measures_say_why_not(self):
        models, x, y = self.given()
        with pytest.raises(ValueError, match="task 'regression'"):
            compared(models, x, y, measures=["deletion"])
        with pytest.raises(ValueError, match="measure `output_change`"):
            evaluation.deletion(models["plain"], x, x)
        with pytest.raises(ValueError, match="has to vary"):
            compared(models, x, np.full(40, 0.5))

    def test_evaluation_of_a_linear_model(self):
        models, x, _ = self.given()
        maps = attribution.Gradient(models["plain"])(x)
        options = {"regression": True}
        assert (
            evaluation.infidelity(models["plain"], x, maps, **options).value
            < 1e-9
        )
        found = evaluation.completeness(models["plain"], x, maps * x, **options)
        assert found.value < 1e-5


class TestLabels:
    def given(self):
        x = RNG.normal(size=(40, 5)).astype("float32")
        models = {}
        for name in ("plain", "guided"):
            models[name] = classifier((5,), activation="sigmoid")
            models[name].set_weights([9 * np.eye(5, 3), np.zeros(3)])
        return models, x, (x[:, :3] > 0).astype(int)

    def test_are_told_and_measured(self, tmp_path):
        models, x, y = self.given()
        result = compared(models, x, y, class_names=["cat", "dog", "<owl>"])
        assert result.task == "multi-label"
        assert rows(result)["plain", None, "label_accuracy"] == 1
        result.save(tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text()
        assert "cat, dog" in text

    def test_ones_and_zeros_of_a_softmax_are_an_error(self):
        _, x, y = self.given()
        with pytest.raises(ValueError, match="task='multi-label'"):
            compared(pair((5,)), x, y)


class TestRefused:
    def test_logits_of_what_ends_in_a_softmax(self):
        x, y = RNG.normal(size=(20, 8)), np.arange(20) % 3
        with pytest.raises(ValueError, match=r"second softmax.*'plain'"):
            compared(pair(), x, y, from_logits=True)

    @pytest.mark.parametrize(
        ("domain", "axes"),
        [("images", "height"), ("series", "steps"), ("text", "ints")],
    )
    def test_a_domain_of_other_axes(self, domain, axes):
        x, y = RNG.normal(size=(20, 8)), np.arange(20) % 3
        with pytest.raises(ValueError, match=axes):
            compared(pair(), x, y, domain=domain)
