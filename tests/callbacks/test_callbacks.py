import keras
import pytest
from keras import layers

import keras_sgt
from keras_sgt import callbacks


def guided():
    model = keras_sgt.SaliencyGuidedModel(
        keras.Sequential([layers.Flatten(), layers.Dense(4, "softmax")]),
        kl_weight=0.8,
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Watching(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights, self.fractions, self.regularised = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.kl_weight)
        self.fractions.append(self.model.mask_fraction)
        self.regularised.append("divergence" in logs)


def test_warmup_from_plain_training(images):
    watching, model = Watching(), guided()
    warmup = callbacks.KLWeightWarmup(epochs=2)
    model.fit(*images, epochs=4, verbose=0, callbacks=[warmup, watching])
    assert watching.weights == pytest.approx([0, 0.4, 0.8, 0.8])
    assert watching.regularised == [False, True, True, True]


def test_warmup_that_is_interrupted_goes_on(images):
    watching, model = Watching(), guided()
    warmup = callbacks.KLWeightWarmup(epochs=4)
    for first, last in ((0, 2), (2, 6)):
        model.fit(
            *images,
            initial_epoch=first,
            epochs=last,
            verbose=0,
            callbacks=[warmup, watching],
        )
    assert watching.weights == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8])


def test_adaptive_fraction_that_is_interrupted_goes_on(images):
    watching, model = Watching(), guided()
    adaptive = callbacks.AdaptiveMaskFraction(1e9, step=0.1, warmup=2)
    for first, last in ((0, 1), (1, 4)):
        model.fit(
            *images,
            initial_epoch=first,
            epochs=last,
            verbose=0,
            callbacks=[watching, adaptive],
        )
    assert watching.fractions == pytest.approx([0, 0, 0.5, 0.6])


def test_fraction_schedule(images):
    watching, model = Watching(), guided()
    schedule = callbacks.MaskFractionSchedule(lambda epoch, old: old / 2)
    for first, last in ((0, 2), (2, 3)):
        model.fit(
            *images,
            initial_epoch=first,
            epochs=last,
            verbose=0,
            callbacks=[schedule, watching],
        )
    assert watching.fractions == [0.25, 0.125, 0.0625]


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_schedules_end_with_the_models_own_numbers(images, epochs):
    """Wherever they are stopped; `History` has what each epoch had."""
    model = guided()
    changes = [
        callbacks.KLWeightWarmup(2, start=0.2),
        callbacks.MaskFractionSchedule(lambda epoch, old: old / 2),
    ]
    history = model.fit(*images, epochs=epochs, verbose=0, callbacks=changes)
    expected = {
        "kl_weight": [0.2, 0.5, 0.8, 0.8],
        "mask_fraction": [0.25, 0.125, 0.0625, 0.03125],
    }
    for name, values in expected.items():
        assert history.history[name] == pytest.approx(values[:epochs])
    assert (model.kl_weight, model.mask_fraction) == (0.8, 0.5)
    assert model.get_config()["mask_fraction"] == 0.5
    # Nothing that callbacks leave alone is told.
    history = model.fit(*images, verbose=0).history
    assert sorted(history) == ["divergence", "loss"]


class StepByStep(keras.callbacks.Callback):
    """A warm-up of one's own, as docs/settings.md has it."""

    def on_train_batch_begin(self, batch, logs=None):
        with self.model.for_now():
            self.model.kl_weight += 0.1

    def on_epoch_end(self, epoch, logs=None):
        logs["kl_weight"] = self.model.kl_weight


def test_what_changes_in_every_step_is_told_as_the_epoch_ends(images):
    model = guided()
    history = model.fit(
        *images, batch_size=20, epochs=2, verbose=0, callbacks=[StepByStep()]
    )
    assert history.history["kl_weight"] == pytest.approx([1.1, 1.4])
    assert model.get_config()["kl_weight"] == 0.8


class Told(keras.callbacks.Callback):
    """Puts a value for each epoch into the logs, as a metric would."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["told"] = self.values[epoch]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("min", [0, 0.5, 0.7, 0.5, 0.3]), ("max", [0, 0.5, 0.3, 0.5, 0.7])],
)
def test_adaptive_fraction(images, mode, expected):
    told = Told([9, 0.9, 1.1, 1.2, 0.0])
    adaptive = callbacks.AdaptiveMaskFraction(
        1.0, monitor="told", mode=mode, step=0.2, warmup=1
    )
    watching, model = Watching(), guided()
    history = model.fit(
        *images, epochs=5, verbose=0, callbacks=[watching, told, adaptive]
    )
    assert watching.fractions == pytest.approx(expected)
    assert history.history["mask_fraction"] == pytest.approx(expected)


def test_adaptive_fraction_keeps_its_bounds(images):
    model = guided()
    for target, bound in ((1e9, 0.6), (-1.0, 0.4)):
        adaptive = callbacks.AdaptiveMaskFraction(
            target, step=0.3, minimum=0.4, maximum=0.6
        )
        model.fit(*images, epochs=3, verbose=0, callbacks=[adaptive])
        assert model.mask_fraction == bound


def test_adaptive_fraction_on_plain_training(images):
    model = guided()
    model.kl_weight = 0
    adaptive = callbacks.AdaptiveMaskFraction(1.0)
    model.fit(*images, verbose=0, callbacks=[adaptive])
    assert model.mask_fraction == 0.5


def test_bad_input(images):
    for options in (
        {"mode": "auto"},
        {"step": 0},
        {"minimum": 0.6, "maximum": 0.5},
        {"warmup": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            callbacks.AdaptiveMaskFraction(1.0, **options)
    with pytest.raises(ValueError, match=r"no 'val_loss'.*'divergence'"):
        guided().fit(
            *images,
            verbose=0,
            callbacks=[callbacks.AdaptiveMaskFraction(1.0, "val_loss")],
        )
    for epochs in (0, 1.5, "three"):
        with pytest.raises(ValueError, match="epochs"):
            callbacks.KLWeightWarmup(epochs)
    with pytest.raises(ValueError, match="start"):
        callbacks.KLWeightWarmup(2, start=-1)
    with pytest.raises(ValueError, match="schedule"):
        callbacks.MaskFractionSchedule(0.5)
    with pytest.raises(ValueError, match="mask_fraction=2"):
        guided().fit(
            *images,
            verbose=0,
            callbacks=[callbacks.MaskFractionSchedule(lambda *_: 2)],
        )
    plain = guided().model
    plain.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="SaliencyGuidedModel"):
        plain.fit(*images, callbacks=[callbacks.KLWeightWarmup(1)], verbose=0)
