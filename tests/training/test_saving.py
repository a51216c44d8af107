import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


@keras.saving.register_keras_serializable(package="tests")
class Zeros(keras_sgt.masking.Replacement):
    def call(self, inputs, mask, saliency):
        return ops.zeros_like(inputs)


@keras.saving.register_keras_serializable(package="tests")
class Net(keras_sgt.SaliencyGuidedModel):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(units, activation="softmax")

    def call(self, x):
        return self.dense(self.flatten(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def trained(images, build=network, **options):
    options.setdefault(
        "masking",
        keras_sgt.masking.FeatureMasking(
            "absolute", Zeros(), channel_axis=None, seed=3
        ),
    )
    guided = (
        keras_sgt.SaliencyGuidedModel(build(), **options)
        if build is network
        else build(4, **options)
    )
    guided.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    guided.fit(*images, batch_size=20, verbose=0)
    return guided


@pytest.mark.parametrize("build", [network, Net])
def test_restores_everything_and_trains_on(images, build, tmp_path):
    x, y = images
    guided = trained(
        images,
        build,
        mask_fraction=0.3,
        kl_weight=0.7,
        batch_fraction=0.5,
        step_fraction=1 / 3,
    )
    guided.mask_fraction = 0.1
    guided.save(tmp_path / "guided.keras")
    restored = keras.models.load_model(tmp_path / "guided.keras")
    assert type(restored) is type(guided)
    assert restored.mask_fraction == 0.1
    assert restored.kl_weight == 0.7
    assert restored.batch_fraction == 0.5
    assert restored.step_fraction == 1 / 3
    assert restored.masking.ranking == "absolute"
    assert restored.masking.channel_axis is None
    assert isinstance(restored.masking.replacement, Zeros)
    np.testing.assert_allclose(
        restored.predict(x, verbose=0), guided.predict(x, verbose=0), atol=1e-6
    )
    np.testing.assert_array_equal(
        restored.mask_on_batch(x, y), guided.mask_on_batch(x, y)
    )
    assert int(restored.optimizer.iterations) == 3
    # The same step from the same state, momentum included.
    for model in (guided, restored):
        model.train_on_batch(x, y)
    for a, b in zip(guided.get_weights(), restored.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "divergence",
    [
        None,
        keras_sgt.divergences.CategoricalKL(),
        keras_sgt.divergences.MeanSquared(),
    ],
)
def test_divergences_are_restored(images, divergence, tmp_path):
    guided = trained(images, divergence=divergence)
    guided.save(tmp_path / "guided.keras")
    restored = keras.models.load_model(tmp_path / "guided.keras")
    assert type(restored.divergence) is type(divergence)
    restored.fit(*images, verbose=0)


def test_files_of_plain_weights_say_who_loads_them(images, tmp_path):
    path = tmp_path / "plain.weights.h5"
    plain = network()
    plain.save_weights(path)
    guided = trained(images)
    with pytest.raises(ValueError, match="variables") as error:
        guided.load_weights(path)
    assert "`guided.model.load_weights(...)`" in error.value.__notes__[0]
    guided.model.load_weights(path)
    x, _ = images
    np.testing.assert_array_equal(
        guided.predict(x, verbose=0), plain.predict(x, verbose=0)
    )


def test_weights_are_loaded_and_settings_kept(images, tmp_path):
    guided = trained(images, mask_fraction=0.3)
    guided.save_weights(tmp_path / "guided.weights.h5")
    other = trained(images, mask_fraction=0.6)
    other.load_weights(tmp_path / "guided.weights.h5")
    assert other.mask_fraction == 0.6
    x, y = images
    expected = keras_sgt.SaliencyGuidedModel(
        guided.model, mask_fraction=0.6, masking=other.masking
    )
    expected.compile("sgd", "sparse_categorical_crossentropy")
    np.testing.assert_array_equal(
        other.mask_on_batch(x, y), expected.mask_on_batch(x, y)
    )


SERVE = """
import sys
sys.modules["keras_sgt"] = None  # importing it raises ImportError
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(x, verbose=0))
"""


def test_the_wrapped_model_is_served_without_keras_sgt(images, tmp_path):
    guided = trained(images)
    guided.model.save(tmp_path / "served.keras")
    np.save(tmp_path / "x.npy", images[0])
    files = [tmp_path / name for name in ("served.keras", "x.npy", "p.npy")]
    subprocess.run(
        [sys.executable, "-c", SERVE, *map(str, files)],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "p.npy"),
        guided.predict(images[0], verbose=0),
        atol=1e-6,
    )


def test_clone(images):
    guided = trained(images, mask_fraction=0.3)
    copy = keras_sgt.SaliencyGuidedModel.from_config(guided.get_config())
    assert copy.mask_fraction == 0.3
    assert copy.get_config() == guided.get_config()


def test_what_early_stopping_restores_has_no_settings(images):
    guided = trained(images)
    weights = guided.get_weights()
    assert len(weights) == len(guided.model.get_weights())
    guided.mask_fraction = 0.2
    guided.set_weights(weights)
    assert guided.mask_fraction == 0.2


def test_what_is_set_for_now_is_not_saved(images, tmp_path):
    guided = trained(images, kl_weight=0.8)
    with guided.for_now():
        guided.kl_weight, guided.mask_fraction = 0.1, 0.2
    guided.save(tmp_path / "guided.keras")
    assert (guided.kl_weight, guided.mask_fraction) == (0.1, 0.2)
    restored = keras.models.load_model(tmp_path / "guided.keras")
    assert (restored.kl_weight, restored.mask_fraction) == (0.8, 0.5)
