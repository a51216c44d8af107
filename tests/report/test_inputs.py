"""`compare` takes what `fit` took, and says what it cannot take."""

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

    def test_inputs_of_other_lengths_are_told(self):
        models, x, y = columns()
        x["age"] = x["age"][:5]
        with pytest.raises(ValueError, match="'age': 5"):
            compared(models, x, y)


def reader(seed, padded):
    """A text model of token ids with a mask of what is padding."""
    keras.utils.set_random_seed(seed)
    ids = keras.Input((7,), name="token_ids", dtype="int32")
    vectors = layers.Embedding(9, 4)(ids)
    inputs = ids
    if padded:
        mask = keras.Input((7,), name="padding_mask", dtype="int32")
        inputs = {"token_ids": ids, "padding_mask": mask}
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

    def test_a_mask_goes_along_with_its_token(self):
        ids, y = self.given()
        x = {"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}
        found = compared({"a": reader(0, True)}, x, y)
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
