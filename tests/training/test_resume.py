"""Training that was interrupted goes on as if it had not been."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt import callbacks

EPOCHS, KILLED = 5, 2  # the epoch in which training is interrupted
# On PyTorch Keras's Dropout draws from the generator of the whole process.
RATE = 0.0 if keras.backend.backend() == "torch" else 0.3


def build(start, **options):
    """A guided model whose random numbers and weights start anywhere."""
    keras.utils.set_random_seed(start)
    network = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(6, activation="tanh"),
            layers.Dropout(RATE),
            layers.Dense(3, activation="softmax"),
        ]
    )
    masking = keras_sgt.masking.FeatureMasking(
        options.pop("ranking", "signed"), keras_sgt.masking.Uniform()
    )
    guided = keras_sgt.SaliencyGuidedModel(network, masking=masking, **options)
    guided.compile("adam", "sparse_categorical_crossentropy")
    return guided


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 12)).astype("float32")
    return x, rng.integers(0, 3, 20)


class Killed(keras.callbacks.Callback):
    """After all callbacks have heard of the epoch, before its first step."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == KILLED:
            raise KeyboardInterrupt


CASES = {
    "warmup": ({}, lambda: [callbacks.KLWeightWarmup(4)]),
    "warmup_from_some": (
        {"kl_weight": 0.8, "step_fraction": 1 / 3},
        lambda: [callbacks.KLWeightWarmup(4, start=0.2)],
    ),
    "schedule": (
        {"mask_fraction": 0.6},
        lambda: [callbacks.MaskFractionSchedule(lambda _, old: 0.8 * old)],
    ),
    "adaptive": (
        {"ranking": "random"},
        lambda: [callbacks.AdaptiveMaskFraction(1e9, step=0.1, warmup=1)],
    ),
    "adaptive_not_yet": (
        {},
        lambda: [callbacks.AdaptiveMaskFraction(1e9, step=0.1, warmup=4)],
    ),
    "step_fraction": (
        {"step_fraction": 1 / 4, "ranking": "random"},
        list,
    ),
}


def fit(guided, schedules, others=(), first=0):
    guided.fit(
        *data(),
        batch_size=7,
        epochs=EPOCHS,
        initial_epoch=first,
        shuffle=False,
        verbose=0,
        callbacks=[*others, *schedules],
    )
    return guided


def interrupted(guided, schedules, others=()):
    with pytest.raises(KeyboardInterrupt):
        fit(guided, [*schedules, Killed()], others)
    return guided


def by_backup(case, folder):
    options, schedules = CASES[case]
    for start in (0, 1):  # two processes
        backup = keras.callbacks.BackupAndRestore(folder / "backup")
        guided = build(start, **options)
        go_on = interrupted if start == 0 else fit
        go_on(guided, schedules(), [backup])
    return guided


def by_checkpoint(case, folder):
    options, schedules = CASES[case]
    path = folder / "guided.keras"
    keep = keras.callbacks.ModelCheckpoint(path)
    interrupted(build(0, **options), schedules(), [keep])
    return fit(keras.models.load_model(path), schedules(), first=KILLED)


def by_second_fit(case, folder):
    options, schedules = CASES[case]
    guided = interrupted(build(0, **options), schedules())
    return fit(guided, schedules(), first=KILLED)


@pytest.fixture(scope="module")
def uninterrupted():
    known = {}

    def weights(case):
        if case not in known:
            options, schedules = CASES[case]
            guided = fit(build(0, **options), schedules())
            known[case] = state(guided)
        return known[case]

    return weights


def state(guided):
    numbers = [guided.kl_weight, guided.mask_fraction]
    return [*guided.get_weights(), np.array(numbers)]


@pytest.mark.parametrize(
    "go_on",
    [
        by_backup,
        pytest.param(by_checkpoint, marks=pytest.mark.slow_to_compile),
        by_second_fit,
    ],
)
@pytest.mark.parametrize("case", list(CASES))
def test_equals_uninterrupted_training(case, go_on, uninterrupted, tmp_path):
    resumed = state(go_on(case, tmp_path))
    for a, b in zip(resumed, uninterrupted(case), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
