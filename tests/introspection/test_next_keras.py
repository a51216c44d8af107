"""What the package reads off Keras, and what it does where it cannot."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, losses, ops

import keras_sgt


class Hidden(losses.SparseCategoricalCrossentropy):
    """A loss whose attributes cannot be read, as in the next Keras."""

    def __getattribute__(self, name):
        if name in ("from_logits", "ignore_class", "axis"):
            raise AttributeError(name)
        return super().__getattribute__(name)


class Silent(losses.SparseCategoricalCrossentropy):
    """A loss that keeps its configuration to itself."""

    def get_config(self):
        raise NotImplementedError


class Nameless(losses.SparseCategoricalCrossentropy):
    """A loss whose configuration does not say what outputs are."""

    def get_config(self):
        return {"name": self.name}


def classifier(activation=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(3, activation, name="classes")]
    )


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 6)).astype("float32") * 3
    return x, (np.arange(16) % 3).astype("int32")


def divergence_logged(loss, y=None):
    """The divergence of a step, and that of logits and of probabilities."""
    x, labels = data()
    model = classifier()
    guided = keras_sgt.SaliencyGuidedModel(
        model,
        masking=keras_sgt.masking.FeatureMasking(replacement="constant"),
    )
    guided.compile(keras.optimizers.SGD(0.0), loss)
    y = labels if y is None else y
    masked = guided.mask_on_batch(x, y)
    logged = guided.train_on_batch(x, y, return_dict=True)["divergence"]
    p, q = (ops.convert_to_numpy(ops.softmax(model(b))) for b in (x, masked))
    return logged, (p * (np.log(p) - np.log(q))).sum(1).mean()


ONE_HOT = np.eye(3, dtype="float32")[np.arange(16) % 3]


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (losses.SparseCategoricalCrossentropy(from_logits=True), None),
        (losses.CategoricalCrossentropy(from_logits=True), ONE_HOT),
        (losses.CategoricalFocalCrossentropy(from_logits=True), ONE_HOT),
        (
            functools.partial(
                losses.sparse_categorical_crossentropy, from_logits=True
            ),
            None,
        ),
        (
            functools.partial(
                functools.partial(
                    losses.categorical_crossentropy, label_smoothing=0.1
                ),
                from_logits=True,
            ),
            ONE_HOT,
        ),
    ],
)
def test_logits_are_read_as_logits(loss, y):
    logged, expected = divergence_logged(loss, y)
    np.testing.assert_allclose(logged, expected, rtol=1e-4)
    assert expected > 0.1


@pytest.mark.parametrize("class_", [Hidden, Silent, Nameless])
def test_a_loss_that_hides_trains_rightly_or_not_at_all(class_):
    message = ""
    try:
        logged, expected = divergence_logged(class_(from_logits=True))
    except ValueError as error:
        message = str(error)
    else:
        np.testing.assert_allclose(logged, expected, rtol=1e-4)
    assert not message or "divergence=" in message


def test_a_loss_that_says_nothing_is_refused():
    guided = keras_sgt.SaliencyGuidedModel(classifier())
    for loss in (Silent(from_logits=True), Nameless(from_logits=True)):
        with pytest.raises(ValueError, match="divergence="):
            guided.compile("sgd", loss)
    # ... unless it is told.
    guided = keras_sgt.SaliencyGuidedModel(
        classifier(),
        divergence=keras_sgt.divergences.CategoricalKL(from_logits=True),
    )
    guided.compile("sgd", Silent(from_logits=True))
    logs = guided.train_on_batch(*data(), return_dict=True)
    assert np.isfinite(logs["divergence"])


def test_classes_on_another_axis_are_refused():
    guided = keras_sgt.SaliencyGuidedModel(classifier("softmax"))
    for class_ in (
        losses.CategoricalCrossentropy,
        losses.SparseCategoricalCrossentropy,
    ):
        with pytest.raises(ValueError, match="last axis"):
            guided.compile("sgd", class_(axis=1))
        guided.compile("sgd", class_())


def test_the_labels_of_a_partial_cannot_be_bound():
    bound = functools.partial(losses.mean_squared_error, 0.0)
    assert keras_sgt.divergences.for_loss(bound) is None


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_the_reduction_is_the_losss_own(reduction):
    loss = losses.SparseCategoricalCrossentropy(True, reduction=reduction)
    logged, mean = divergence_logged(loss)
    expected = 16 * mean if reduction == "sum" else mean
    np.testing.assert_allclose(logged, expected, rtol=1e-4)


def test_a_loss_without_reduction_is_refused():
    guided = keras_sgt.SaliencyGuidedModel(classifier())
    loss = losses.SparseCategoricalCrossentropy(True, reduction=None)
    with pytest.raises(ValueError, match="reduction"):
        guided.compile("sgd", loss)


def imported_with(version):
    code = (
        f"import keras, warnings; keras.__version__ = {version!r}\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import keras_sgt, importlib\n"
        "print([str(w.message) for w in caught if 'keras_sgt' in str(w)])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return out.stdout.strip().splitlines()[-1]


@pytest.mark.slow_to_compile
@pytest.mark.parametrize(
    ("version", "warns"),
    [("3.15.9", False), ("3.99.0", True), ("4.0.0.dev2030010100", True)],
)
def test_an_untested_keras_is_warned_of_once(version, warns):
    caught = imported_with(version)
    assert caught.count("is tested with Keras 3.12 to") == warns
