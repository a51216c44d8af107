"""Which inputs are explained: mixed ones, data frames, ids of a layer."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from tiny_models import linear

import keras_sgt
from keras_sgt.attribution import (
    DeepLIFT,
    FeatureAblation,
    Gradient,
    InputXGradient,
    IntegratedGradients,
    Occlusion,
    Random,
    SmoothGrad,
)

RNG = np.random.default_rng(0)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Mixed:
    """Two floats, a number, two categories, a flag: a linear score of all.

    `score = floats @ a + age · b + city vector · c + job vector · d + flag · e`
    """

    def __init__(self):
        self.inputs = {
            "age": keras.Input((1,), name="age"),
            "city": keras.Input((1,), dtype="int32", name="city"),
            "flag": keras.Input((1,), dtype="bool", name="flag"),
            "floats": keras.Input((2,), name="floats"),
            "job": keras.Input((1,), dtype="int32", name="job"),
        }
        city = layers.Embedding(5, 3, name="cities")(self.inputs["city"])
        job = layers.Embedding(4, 2, name="jobs")(self.inputs["job"])
        joined = layers.Concatenate()(
            [
                self.inputs["age"],
                layers.Flatten()(city),
                ops.cast(self.inputs["flag"], "float32"),
                self.inputs["floats"],
                layers.Flatten()(job),
            ]
        )
        outputs = layers.Dense(1, use_bias=False)(joined)
        self.model = keras.Model(self.inputs, outputs)
        self.cities = RNG.normal(size=(5, 3))
        self.jobs = RNG.normal(size=(4, 2))
        self.kernel = RNG.normal(size=(9, 1))
        self.model.get_layer("cities").set_weights([self.cities])
        self.model.get_layer("jobs").set_weights([self.jobs])
        self.model.layers[-1].set_weights([self.kernel])
        self.x = {
            "age": RNG.normal(size=(6, 1)),
            "city": np.array([0, 1, 2, 3, 4, 1])[:, None],
            "flag": np.array([1, 0, 1, 1, 0, 0], bool)[:, None],
            "floats": RNG.normal(size=(6, 2)),
            "job": np.array([3, 2, 1, 0, 1, 1])[:, None],
        }

    def contributions(self, city=0, job=0):
        """Of each input, against zeros and these two ids."""
        age, cities, flag, floats, jobs = np.split(
            self.kernel[:, 0], [1, 4, 5, 7]
        )
        x = {name: values.astype("float64") for name, values in self.x.items()}
        by_city = (self.cities - self.cities[city]) @ cities
        by_job = (self.jobs - self.jobs[job]) @ jobs
        return {
            "age": x["age"] * age,
            "city": by_city[self.x["city"]],
            "flag": x["flag"] * flag,
            "floats": x["floats"] * floats,
            "job": by_job[self.x["job"]],
        }


@pytest.fixture(scope="module")
def mixed():
    return Mixed()


def assert_maps(found, expected, zeros=()):
    assert set(found) == set(expected)
    for name, values in expected.items():
        values = 0 * values if name in zeros else values
        np.testing.assert_allclose(found[name], values, **CLOSE, err_msg=name)


class TestMixedInputs:
    def test_one_call_explains_all(self, mixed):
        for method in (IntegratedGradients, DeepLIFT):
            found = method(mixed.model)(mixed.x)
            assert_maps(found, mixed.contributions(), zeros=["flag"])

    def test_whole_numbers_that_the_model_takes_as_floats(self, mixed):
        """A column of ints, as a table of pandas has it: not zeros."""
        x = {**mixed.x, "age": np.arange(6)[:, None]}
        as_floats = {**x, "age": x["age"].astype("float32")}
        for method in (IntegratedGradients, DeepLIFT, FeatureAblation):
            explain = method(mixed.model)
            assert_maps(explain(x), explain(as_floats))

    def test_ids_that_are_declared_as_floats(self):
        """As Keras declares every input by default: at the embedding."""
        inputs = [keras.Input((1,), name=name) for name in ("age", "city")]
        city = layers.Flatten()(layers.Embedding(5, 3)(inputs[1]))
        joined = layers.Concatenate()([inputs[0], city])
        model = keras.Model(inputs, layers.Dense(2)(joined))
        x = {"age": np.arange(5)[:, None], "city": np.arange(5)[:, None]}
        base = {"age": 0, "city": 2}
        found = IntegratedGradients(model, baselines=base)(x, 0)
        arrays = [x["age"].astype("float32"), x["city"]]
        logits = model.predict(arrays, verbose=0)[:, 0]
        empty = model.predict([np.zeros((1, 1)), 2 * np.ones((1, 1))])[:, 0]
        np.testing.assert_allclose(
            (found["age"] + found["city"])[:, 0], logits - empty, atol=1e-4
        )
        assert found["city"][2] == 0

    def test_without_gradients_bools_too(self, mixed):
        found = FeatureAblation(mixed.model)(mixed.x)
        assert_maps(found, mixed.contributions())

    def test_baselines_of_each(self, mixed):
        base = {"age": 0, "city": 2, "flag": 0, "floats": 0.0, "job": 1}
        found = IntegratedGradients(mixed.model, baselines=base)(mixed.x)
        assert_maps(found, mixed.contributions(2, 1), zeros=["flag"])
        with pytest.raises(ValueError, match=r"baselines.*'job'.*0 to 3"):
            IntegratedGradients(mixed.model, baselines=4)(mixed.x)
        with pytest.raises(ValueError, match=r"`x`.*'city'.*0 to 4"):
            Gradient(mixed.model)({**mixed.x, "city": mixed.x["city"] + 1})

    def test_named_inputs_alone(self, mixed):
        expected = mixed.contributions()
        for inputs in ("age", ["city", "floats"], "job"):
            found = IntegratedGradients(mixed.model, inputs=inputs)(mixed.x)
            others = [n for n in expected if n not in inputs and n != inputs]
            assert_maps(found, expected, zeros=others)
        found = Occlusion(mixed.model, 1, inputs="floats")(mixed.x)
        others = [n for n in expected if n != "floats"]
        assert_maps(found, expected, zeros=others)

    def test_errors_list_what_can_be_explained(self, mixed):
        allowed = r"\['age', 'city', 'floats', 'job'\].*Received: inputs='flag'"
        with pytest.raises(ValueError, match=allowed):
            Gradient(mixed.model, inputs="flag")(mixed.x)
        with pytest.raises(ValueError, match="key or index of an input"):
            Gradient(mixed.model, inputs="street")(mixed.x)

    def test_what_the_model_does_not_take(self, mixed):
        x = {**mixed.x, "street": np.array(["a"] * 6), "zip": np.arange(6)}
        found = IntegratedGradients(mixed.model)(x)
        assert not found.pop("street").any()
        assert not found.pop("zip").any()
        assert_maps(found, mixed.contributions(), zeros=["flag"])

    def test_noise_is_added_to_vectors(self, mixed):
        method = SmoothGrad(mixed.model, nt_samples=3, stdevs=0.1)
        kernel = mixed.kernel[:, 0]
        found = method(mixed.x)
        np.testing.assert_allclose(found["city"], kernel[1:4].sum(), **CLOSE)
        np.testing.assert_allclose(found["job"], kernel[7:].sum(), **CLOSE)

    def test_two_layers_embed_one_input(self):
        """Wide and deep: each has its share of the map."""
        inputs = keras.Input((4,), dtype="int32")
        wide = layers.Embedding(6, 1, name="wide")(inputs)
        deep = layers.Embedding(6, 3, name="deep")(inputs)
        model = keras.Model(
            inputs,
            ops.sum(wide, (1, 2))[:, None] + ops.sum(deep, (1, 2))[:, None],
        )
        ids = RNG.integers(0, 6, (5, 4))
        wide, deep = (
            model.get_layer(n).get_weights()[0] for n in ("wide", "deep")
        )
        both = np.concatenate([wide, deep], 1).sum(1)
        found = IntegratedGradients(model)(ids)
        np.testing.assert_allclose(found, both[ids] - both[0], **CLOSE)
        found = IntegratedGradients(model, layer="deep")(ids)
        np.testing.assert_allclose(
            found, deep.sum(1)[ids] - deep.sum(1)[0], **CLOSE
        )

    def test_ids_as_floats(self):
        """Of `keras.Input((4,))`, which an Embedding casts to ints."""
        model = keras.Sequential(
            [keras.Input((4,)), layers.Embedding(6, 2), layers.Flatten()]
        )
        model.add(layers.Dense(1, use_bias=False))
        vectors, kernel = model.get_weights()
        ids = RNG.integers(0, 6, (5, 4))
        expected = (vectors[ids] - vectors[0]) * kernel.reshape(4, 2)
        for dtype in ("int64", "float64"):
            found = IntegratedGradients(model)(ids.astype(dtype))
            np.testing.assert_allclose(found, expected.sum(-1), **CLOSE)


class Two:
    """A title and a body, each with its embedding, of one size."""

    def __init__(self, cut=False, shared=False):
        self.inputs = {
            "body": keras.Input((5,), dtype="int32"),
            "title": keras.Input((5,), dtype="int32"),
        }
        body = layers.Embedding(9, 3, name="emb_body")
        title = body if shared else layers.Embedding(9, 3, name="emb_title")
        vectors = title(self.inputs["title"])
        ids = self.inputs["body"]
        ids = ids[:, :3] if cut else ids
        score = ops.sum(vectors, (1, 2)) + 2 * ops.sum(body(ids), (1, 2))
        self.model = keras.Model(self.inputs, score[:, None])
        # The same ids in both, so that a look at the data alone cannot tell.
        self.x = dict.fromkeys(self.inputs, np.array([[1, 2, 3, 4, 5]]))

    def expected(self, name, layer, weight):
        totals = self.model.get_layer(layer).get_weights()[0].sum(1)
        return weight * (totals[self.x[name]] - totals[0])


class TestInputsAndLayers:
    @pytest.mark.parametrize("method", [IntegratedGradients, DeepLIFT])
    def test_each_input_at_its_layer(self, method):
        two = Two()
        title = two.expected("title", "emb_title", 1)
        body = two.expected("body", "emb_body", 2)
        for options in ({}, {"layer": "emb_title"}, {"inputs": "title"}):
            found = method(two.model, **options)(two.x)
            np.testing.assert_allclose(found["title"], title, **CLOSE)
            other = 0 * body if options else body
            np.testing.assert_allclose(found["body"], other, **CLOSE)

    def test_what_does_not_belong_together(self):
        model, x = Two().model, Two().x
        message = r"'emb_body'.*input 'title'.*It receives the input 'body'"
        with pytest.raises(ValueError, match=message):
            IntegratedGradients(model, inputs="title", layer="emb_body")(x)

    @pytest.mark.parametrize("options", [{}, {"layer": "emb_body"}])
    def test_an_embedding_of_a_slice(self, options):
        two = Two(cut=True)
        message = r"'emb_body'.*made of the inputs, of shape \(3,\)"
        with pytest.raises(ValueError, match=message):
            Gradient(two.model, **options)(two.x)
        found = IntegratedGradients(two.model, inputs="title")(two.x)
        title = two.expected("title", "emb_title", 1)
        np.testing.assert_allclose(found["title"], title, **CLOSE)
        # Ids that are replaced themselves need no layer.
        found = FeatureAblation(two.model)(two.x)
        body = two.expected("body", "emb_body", 2) * [1, 1, 1, 0, 0]
        np.testing.assert_allclose(found["body"], body, **CLOSE)

    def test_an_embedding_of_mapped_ids(self):
        inputs = keras.Input((4,), dtype="int32")
        vectors = layers.Embedding(6, 2)(5 - inputs)
        model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(vectors)))
        with pytest.raises(ValueError, match="made of the inputs"):
            Gradient(model)(np.array([[0, 1, 2, 3]]))

    def test_a_layer_of_two_inputs(self):
        two = Two(shared=True)
        found = IntegratedGradients(two.model)(two.x)
        for name, weight in (("title", 1), ("body", 2)):
            expected = two.expected(name, "emb_body", weight)
            np.testing.assert_allclose(found[name], expected, **CLOSE)

    def test_an_embedding_of_positions(self):
        """As Keras's examples have it: not of the inputs at all."""

        class Positions(layers.Layer):
            def __init__(self):
                super().__init__()
                self.tokens = layers.Embedding(9, 3)
                self.positions = layers.Embedding(5, 3)

            def call(self, ids):
                return self.tokens(ids) + self.positions(ops.arange(5))

        inputs = keras.Input((5,), dtype="int32")
        embed = Positions()
        score = ops.sum(embed(inputs), (1, 2))[:, None]
        ids = np.array([[1, 2, 3, 4, 5]])
        found = IntegratedGradients(keras.Model(inputs, score))(ids)
        totals = embed.tokens.get_weights()[0].sum(1)
        np.testing.assert_allclose(found, totals[ids] - totals[0], **CLOSE)

    def test_a_guided_models_masking_names_the_layer(self):
        two = Two()
        masking = keras_sgt.masking.TokenMasking("emb_body", inputs="body")
        guided = keras_sgt.SaliencyGuidedModel(two.model, masking=masking)
        found = IntegratedGradients(guided)(two.x)
        body = two.expected("body", "emb_body", 2)
        np.testing.assert_allclose(found["body"], body, **CLOSE)
        assert not found["title"].any()


class TestIntegers:
    def test_methods_that_need_no_gradient(self):
        """Images of bytes are explained as the same numbers as floats."""
        weights = RNG.normal(size=(5, 3))
        x = RNG.integers(0, 256, (7, 5)).astype("uint8")
        model = linear(weights)
        for method in (FeatureAblation(model), Occlusion(model, 2)):
            found = method(x, 1)
            expected = method(x.astype("float32"), 1)
            np.testing.assert_allclose(found, expected, rtol=1e-4)
            assert abs(found).max() > 1
        assert Random(model)(x).std() > 0.1

    def test_others_say_what_to_do(self):
        x = np.ones((2, 5), "uint8")
        with pytest.raises(ValueError, match=r"takes gradients.*float32"):
            IntegratedGradients(linear(np.ones((5, 3))))(x)
        with pytest.raises(ValueError, match=r"bools have none.*float32"):
            Gradient(linear(np.ones((5, 3))))(x > 0)


def test_numbers_beyond_float32():
    x = np.ones((2, 5))
    with pytest.raises(ValueError, match=r"`x`.*float32.*3.*e\+38"):
        Gradient(linear(np.ones((5, 3))))(x * 1e300)
    x[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"`x`.*infinity in 1"):
        Gradient(linear(np.ones((5, 3))))(x)


def test_empty_baselines():
    empty = np.zeros((0, 5))
    for method in (
        keras_sgt.attribution.DeepSHAP,
        keras_sgt.attribution.GradientSHAP,
        IntegratedGradients,
    ):
        with pytest.raises(ValueError, match=r"baselines.*\(0, 5\)"):
            method(linear(np.ones((5, 3))), baselines=empty)(np.ones((2, 5)))


class Frame:
    """What DataFrames of all libraries have in common."""

    def __init__(self, columns):
        self.data = {
            name: np.asarray(values) for name, values in columns.items()
        }
        self.columns = list(columns)

    def __len__(self):
        return len(self.data[self.columns[0]])

    def __getitem__(self, name):
        return Column(self.data[name])

    def to_numpy(self):
        return np.stack([*self.data.values()], 1)


class Column:
    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return self.values


def frame_of(kind, columns):
    if kind == "pandas":
        return pytest.importorskip(kind).DataFrame(columns)
    return Frame(columns)


@pytest.mark.parametrize("kind", ["pandas", "any with columns"])
class TestFrames:
    def test_columns_as_one_array(self, kind):
        frame = frame_of(
            kind,
            {
                "age": [20.0, 30.0, 40.0],
                "children": [0, 1, 2],
                "owner": [True, False, True],
            },
        )
        weights = np.array([[1.0], [2.0], [-3.0]])
        found = InputXGradient(linear(weights))(frame)
        assert type(found) is type(frame)
        assert list(found.columns) == ["age", "children", "owner"]
        for name, weight in zip(found.columns, weights[:, 0]):
            expected = weight * frame[name].to_numpy().astype("float32")
            np.testing.assert_allclose(found[name].to_numpy(), expected)

    def test_an_input_for_each_column(self, kind, mixed):
        names = ["age", "city", "flag", "job"]
        inputs = {name: mixed.inputs[name] for name in names}
        floats = keras.ops.zeros((6, 2))
        score = mixed.model(
            {**inputs, "floats": ops.zeros_like(inputs["age"]) + floats[:1]}
        )
        model = keras.Model(inputs, score)
        columns = {name: mixed.x[name][:, 0] for name in names}
        columns["street"] = np.array([*"abcdef"])
        frame = frame_of(kind, columns)
        found = IntegratedGradients(model)(frame)
        expected = mixed.contributions()
        for name in ("age", "city", "job"):
            np.testing.assert_allclose(
                found[name].to_numpy(), expected[name][:, 0], **CLOSE
            )
        for name in ("flag", "street"):
            assert not found[name].to_numpy().any()

    def test_columns_that_are_no_numbers(self, kind):
        frame = frame_of(kind, {"age": [1.0, 2.0], "city": ["a", "b"]})
        with pytest.raises(ValueError, match=r"columns \['city'\]"):
            Gradient(linear(np.ones((2, 1))))(frame)


def test_the_index_of_a_frame_is_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0]}, index=["x", "y"])
    found = Gradient(linear(np.ones((1, 1))))(frame)
    assert list(found.index) == ["x", "y"]


def test_an_optional_input_is_left_out_as_the_error_says():
    class Sum(layers.Layer):
        def call(self, one, other=None):
            return one if other is None else one + other

        def compute_output_shape(self, one_shape, other_shape=None):
            return one_shape

    one = keras.Input((3,), name="one")
    other = keras.Input((3,), name="other", optional=True)
    outputs = layers.Dense(1, use_bias=False)(Sum()(one, other))
    model = keras.Model({"one": one, "other": other}, outputs)
    x = {"one": RNG.normal(size=(4, 3)).astype("float32")}

    class Without(keras.Model):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, x):
            return self.network({**x, "other": None})

    with pytest.raises(ValueError, match="leave an optional one out"):
        Gradient(model)({**x, "other": None}, 0)
    without = Without(model)
    without(x)
    kernel = model.get_weights()[0][:, 0]
    np.testing.assert_allclose(
        Gradient(without)(x, 0)["one"], np.tile(kernel, (4, 1)), rtol=1e-5
    )


def test_noise_needs_floats():
    x = RNG.integers(0, 256, (2, 5)).astype("uint8")
    method = SmoothGrad(FeatureAblation(linear(np.ones((5, 3)))))
    with pytest.raises(ValueError, match=r"adds noise.*uint8"):
        method(x)


def test_noise_differs_between_many_inputs():
    """Also of the ninth input, and from that of the next sample."""
    inputs = [keras.Input((1,)) for _ in range(20)]
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(inputs)))
    maps = Random(model, seed=0)([np.zeros((6, 1))] * 20, batch_size=1)
    assert len(np.unique(np.stack(maps))) == 6 * 20


def test_strings_that_the_model_takes():
    """On TensorFlow, which alone has tensors of strings."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tensors of strings are TensorFlow's")
    inputs = {
        "age": keras.Input((2,), name="age"),
        "city": keras.Input((1,), dtype="string", name="city"),
    }
    lookup = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    joined = layers.Concatenate()([inputs["age"], lookup(inputs["city"])])
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(joined))
    x = {"age": np.ones((2, 2)), "city": np.array([["a"], ["b"]])}
    found = InputXGradient(model)(x)
    kernel = model.get_weights()[-1]
    np.testing.assert_allclose(found["age"], np.tile(kernel[:2].T, (2, 1)))
    assert not found["city"].any()
    with pytest.raises(ValueError, match=r"out of \['age'\].*'city'"):
        InputXGradient(model, inputs="city")(x)


KINDS = ("floats", "ids", "column", "category", "flag")


def model_of(kinds):
    """A network of several inputs, and inputs for it."""
    inputs, parts, x = {}, [], {}
    for i, kind in enumerate(kinds):
        name = f"{kind}_{i}"
        shape = {"floats": (3,), "ids": (4,)}.get(kind, (1,))
        dtype = {"floats": "float32", "column": "float32", "flag": "bool"}
        dtype = dtype.get(kind, "int32")
        inputs[name] = keras.Input(shape, dtype=dtype, name=name)
        part = inputs[name]
        if dtype == "int32":
            part = layers.Flatten()(layers.Embedding(5 + i, 2)(part))
            x[name] = RNG.integers(0, 5 + i, (3, *shape))
        elif dtype == "bool":
            part = ops.cast(part, "float32")
            x[name] = RNG.integers(0, 2, (3, *shape)).astype(bool)
        else:
            x[name] = RNG.normal(size=(3, *shape))
        parts.append(part)
    joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    hidden = layers.Dense(4, "tanh")(joined)
    return keras.Model(inputs, layers.Dense(1)(hidden)), x


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_maps_of_any_mixture_add_up(kinds):
    """To the change of the score when all but the flags become zeros."""
    model, x = model_of(kinds)
    methods = [IntegratedGradients(model, n_steps=30), DeepLIFT(model)]
    if set(kinds) == {"flag"}:
        with pytest.raises(ValueError, match="bools have none"):
            methods[0](x)
        return
    base = {n: a if n.startswith("flag") else 0 * a for n, a in x.items()}
    change = model.predict(x, verbose=0) - model.predict(base, verbose=0)
    for method in methods:
        maps = method(x)
        for name, values in maps.items():
            assert values.shape == x[name].shape
        total = sum(values.sum(1) for values in maps.values())
        np.testing.assert_allclose(total, change[:, 0], rtol=1e-2, atol=1e-4)


def test_a_method_of_ones_own_by_the_public_hooks():
    class Difference(keras_sgt.attribution.Attribution):
        """What lies between the input and a baseline, scaled by its range."""

        baseline_kind = "one"
        needs_gradient = False
        return_convergence_delta = True

        def __init__(self, model, baselines):
            super().__init__(model)
            self.baselines = baselines

        def prepare(self, x, flat):
            if x.min() == x.max():
                raise ValueError("`x` has to differ somewhere.")
            self.range = float(x.max() - x.min())

        def attribute(self, rows):
            pairs = zip(rows.features, rows.baselines)
            return [(x - b) / self.range for x, b in pairs]

    x, base = np.array([[1, 5], [3, 1]]), np.array([[0, 0], [1, 1]])
    method = Difference(linear([[2.0], [1.0]]), base)
    maps, delta = method(x)
    np.testing.assert_allclose(maps, (x - base) / 4)
    np.testing.assert_allclose(
        delta, ((x - base) / 4).sum(1) - (x - base) @ [2.0, 1.0]
    )
    with pytest.raises(ValueError, match="differ somewhere"):
        method(np.ones((2, 2), int))
