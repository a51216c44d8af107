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


def test_fraction_schedule(images):
    watching, model = Watching(), guided()
    schedule = callbacks.MaskFractionSchedule(lambda epoch, old: old / 2)
    model.fit(*images, epochs=3, verbose=0, callbacks=[schedule, watching])
    assert watching.fractions == [0.25, 0.125, 0.0625]


def test_bad_input(images):
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
