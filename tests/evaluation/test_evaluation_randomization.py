"""Sanity checks by randomised weights and labels."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import Images, linear

from keras_sgt import attribution, evaluation
from keras_sgt.evaluation import randomization


def first_weight(model):
    """A method that shows the model's first weight: |x · w|."""
    kernel = np.asarray(model.get_weights()[0])
    return lambda x, target=None: x * kernel[:, 0]


def last_weight(model):
    """A method that looks at the last layer alone."""
    kernel = np.asarray(model.get_weights()[-1])
    return lambda x, target=None: x * np.resize(kernel, x.shape[1:])


def ignores_model(model):
    return lambda x, target=None: np.sin(7 * x)


def test_spearman_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20, 15)).round(1)
    b[:5] += a[:5]
    found = randomization.spearman(a, b)
    expected = [stats.spearmanr(abs(x), abs(y)).statistic for x, y in zip(a, b)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_correlation_with_no_variation_is_0():
    flat, other = np.ones((1, 5)), np.arange(5.0)[None]
    assert randomization.spearman(flat, other).tolist() == [0]
    assert randomization.spearman(flat, flat).tolist() == [0]


def deep(width=40):
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [
            keras.Input((width,)),
            layers.Dense(width, use_bias=False, name="low"),
            keras.Sequential(
                [layers.Dense(width, use_bias=False, name="middle")]
            ),
            layers.Dropout(0.5),
            layers.Dense(3, use_bias=False, name="high"),
        ]
    )
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_cascading_from_the_output_down():
    model, x = deep(), np.ones((2, 40))
    before = model.get_weights()
    found = evaluation.parameter_randomization(model, first_weight, x)
    assert found.levels == ("high", "middle", "low")
    # The first weight is itself until its own layer is shuffled.
    np.testing.assert_allclose(found.curve[:2], 1)
    assert abs(found.curve[2]) < 0.4
    assert found.value == found.curve[2]
    found = evaluation.parameter_randomization(model, last_weight, x)
    assert (abs(found.curve) < 0.4).all()
    for weight, kept in zip(model.get_weights(), before):
        np.testing.assert_array_equal(weight, kept)


def test_one_layer_at_a_time():
    model, x = deep(), np.ones((2, 40))
    found = evaluation.parameter_randomization(
        model, last_weight, x, order="independent"
    )
    assert abs(found.curve[0]) < 0.4
    np.testing.assert_allclose(found.curve[1:], 1)
    np.testing.assert_allclose(found.value, found.curve.mean())


def test_weights_are_permuted():
    seen = []

    def method(model):
        seen.append([np.array(w) for w in model.get_weights()])
        return lambda x, target=None: x

    given = Images()
    evaluation.parameter_randomization(given.keras(), method, given.x)
    original, _, shuffled = seen
    for weight, other in zip(original, shuffled):
        assert not np.array_equal(weight, other)
        np.testing.assert_array_equal(
            np.sort(weight, None), np.sort(other, None)
        )


def test_a_method_that_ignores_the_model_is_found_out():
    given = Images()
    found = evaluation.parameter_randomization(
        given.keras(), ignores_model, given.x, target=given.y
    )
    np.testing.assert_allclose(found.curve, 1)
    np.testing.assert_allclose(found.per_sample, np.ones(24))


def test_target_goes_to_the_method():
    targets = []

    def method(model):
        return lambda x, target=None: targets.append(target) or x

    x = np.random.default_rng(0).normal(size=(2, 4))
    evaluation.parameter_randomization(
        linear(np.eye(4)), method, x, target=[1, 3]
    )
    assert [t.tolist() for t in targets] == [[1, 3]] * 2


def test_a_method_of_ours_forgets_what_was_learned():
    given = Images()
    model = given.keras()
    options = {"target": given.y, "seed": 1}
    gradient, random = (
        evaluation.parameter_randomization(model, method, given.x, **options)
        for method in (
            attribution.Gradient,
            lambda model: attribution.Random(model, seed=0),
        )
    )
    assert (abs(gradient.curve) < 0.6).all()
    np.testing.assert_allclose(random.curve, 1)  # which has nothing to forget
    for weight, kept in zip(model.get_weights(), (given.kernel, given.dense)):
        np.testing.assert_allclose(weight, kept, rtol=1e-6)


def test_weights_come_back_after_an_error():
    model = linear(np.arange(12.0).reshape(4, 3))

    def method(model):
        changed = model.get_weights()[0][0, 1] != 1
        return lambda x, target=None: x[:, :2] if changed else x

    with pytest.raises(ValueError, match="the method's attributions"):
        evaluation.parameter_randomization(model, method, np.ones((2, 4)))
    kernel = np.array(model.get_weights()[0])
    np.testing.assert_array_equal(kernel, np.arange(12.0).reshape(4, 3))


def task():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 20)).astype("float32")
    return x, (x[:, 0] - 2 * x[:, 1] > 0).astype(int)


def build_model():
    model = keras.Sequential([keras.Input((20,)), layers.Dense(2)])
    model.set_weights([np.zeros((20, 2)), np.zeros(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


def test_label_randomization():
    x, y = task()
    model = build_model()
    fit = {"epochs": 8, "verbose": 0, "batch_size": 50}
    model.fit(x, y, **fit)
    ones = np.ones((4, 20))

    def measured(method):
        return evaluation.label_randomization(
            model, build_model, method, (x, y), ones, seed=3, **fit
        ).value

    assert measured(first_weight) < 0.6
    np.testing.assert_allclose(
        evaluation.label_randomization(
            model,
            build_model,
            ignores_model,
            (x, y),
            x[:4],
            epochs=1,
            verbose=0,
        ).value,
        1,
    )


def test_the_labels_are_permuted_and_the_inputs_are_not():
    x, y = task()
    seen = {}

    class Records:
        def fit(self, x, y, batch_size, epochs):
            seen.update(x=x, y=y, batch_size=batch_size, epochs=epochs)

    evaluation.label_randomization(
        None,
        Records,
        ignores_model,
        (x, y),
        x[:3],
        batch_size=7,
        epochs=2,
    )
    np.testing.assert_array_equal(seen["x"], x)
    assert (seen["y"] != y).any()
    assert sorted(seen["y"]) == sorted(y)
    assert (seen["batch_size"], seen["epochs"]) == (7, 2)


X = np.ones((2, 4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"order": "upwards"}, "`order`"),
        ({"x": X * np.nan}, "finite"),
        ({"x": X[0]}, "`x`"),
        ({"target": [1]}, "`target`"),
        ({"model": keras.Sequential([layers.Dense(2)])}, "`model`"),
        ({"model": object()}, "`model`"),
        ({"method": lambda model: "map"}, "`method`"),
        ({"method": lambda model: lambda x, target: x.T}, "shape of `x`"),
    ],
)
def test_bad_input_to_parameter_randomization(changed, message):
    arguments = {"method": ignores_model, "x": X, **changed}
    arguments.setdefault("model", linear(np.eye(4)))
    with pytest.raises(ValueError, match=message):
        evaluation.parameter_randomization(**arguments)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": (X, [0, 1, 1])}, "`train`"),
        ({"train": (X * np.nan, [0, 1])}, "`train`"),
        ({"x": X[0]}, "`x`"),
        ({"target": [1]}, "`target`"),
        ({"method": lambda model: "map"}, "`method`"),
    ],
)
def test_bad_input_to_label_randomization(changed, message):
    def build_model():
        raise AssertionError("the work has started")

    arguments = {
        "model": None,
        "build_model": build_model,
        "method": ignores_model,
        "train": (X, [0, 1]),
        "x": X,
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        evaluation.label_randomization(**arguments)
