"""What a search goes on with, and what it calls another one."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

pytest.importorskip("optuna")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import optuna
import problems

X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def begin(storage, build_model, train=(X, Y)):
    """A search that is stopped before its first training."""
    problems.stopped(build_model, train, (X, Y), 0, storage)


def refused_for(first, then):
    """What a second call in the storage of the first is refused for, if it is.

    Args:
        first, then: tuples, what both are given.
    """
    storage = optuna.storages.InMemoryStorage()
    begin(storage, *first)
    try:
        begin(storage, *then)
    except ValueError as error:
        return str(error).split("with other ")[1].split(".")[0]
    return None


def compiled(model, optimizer=None, **options):
    model.compile(
        optimizer or keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        **options,
    )
    return model


def small(activation="relu", **options):
    return compiled(
        keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(4, activation),
                layers.Dense(2, "softmax"),
            ]
        ),
        **options,
    )


def branched(second_from_first=True, scaled=None):
    """Two layers of 4 units, the second after the first or beside it."""
    inputs = keras.Input((4,))
    first = layers.Dense(4)(inputs)
    second = layers.Dense(4)(first if second_from_first else inputs)
    hidden = layers.Lambda(scaled or (lambda t: 2 * t))(first + second)
    outputs = layers.Dense(2, "softmax")(layers.Dropout(0.1)(hidden))
    return compiled(keras.Model(inputs, outputs))


class Private(keras.Model):
    """A model whose configuration cannot be told, built when it is called."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.last = layers.Dense(2, "softmax")

    def call(self, inputs):
        return self.last(self.hidden(inputs))

    def get_config(self):
        raise NotImplementedError


def private(units=4):
    return compiled(Private(layers.Dense(units)))


def frozen():
    model = small()
    model.layers[0].trainable = False
    return compiled(model)


def of_lambdas(optimizer=None):
    class Own(keras.optimizers.SGD):
        pass

    return small(
        optimizer=Own(0.1), metrics=[lambda y, outputs: ops.mean(outputs)]
    )


def cleared():
    keras.utils.clear_session(free_memory=False)
    return small()


class Seeded(layers.Layer):
    """A layer that says what it drew at random."""

    def call(self, inputs):
        return inputs

    def get_config(self):
        drawn = keras.random.SeedGenerator().get_config()
        return {**super().get_config(), **drawn, "at": repr(object())}


def seeded(activation="relu", module=__name__):
    of_module = type("Seeded", (Seeded,), {"__module__": module})
    model = small(activation)
    return compiled(keras.Sequential([of_module(), *model.layers]))


def decaying(but_for=None):
    optimizer = keras.optimizers.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=but_for)
    return small(optimizer=optimizer)


@pytest.mark.parametrize(
    ("build", "again"),
    [
        *((b, b) for b in (small, private, of_lambdas, cleared)),
        (seeded, lambda: seeded(module="__mp_main__")),
        (branched, lambda: branched(scaled=lambda t: 2 * t)),
    ],
)
def test_the_same_model_is_the_same_search(build, again):
    assert refused_for((build,), (again,)) is None


@pytest.mark.parametrize(
    ("build", "other"),
    [
        (small, lambda: small(optimizer=keras.optimizers.Adam(0.02))),
        (small, lambda: small(optimizer=keras.optimizers.SGD(0.01))),
        (small, lambda: small("tanh")),
        (small, frozen),
        (branched, lambda: branched(second_from_first=False)),
        (branched, lambda: branched(scaled=lambda t: 3 * t)),
        (private, lambda: private(5)),
        (seeded, lambda: seeded("tanh")),
        (decaying, lambda: decaying(["bias"])),
    ],
)
def test_another_model_is_another_search(build, other):
    assert refused_for((build,), (other,)) == "build_model"


def frames():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X), pandas.Series(Y)


def tensors():
    return ops.convert_to_tensor(X), ops.convert_to_tensor(Y)


class Batches(keras.utils.PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return X[:8], Y[:8]


@pytest.mark.parametrize(
    ("train", "other"),
    [
        (lambda: (X, Y), lambda: (X, 1 - Y)),
        (frames, lambda: (frames()[0] * 2, frames()[1])),
        (frames, lambda: (frames()[0], 1 - frames()[1])),
        (tensors, lambda: (tensors()[0] * 2, tensors()[1])),
        (lambda: Batches(2), lambda: Batches(3)),
    ],
)
def test_other_training_data_are_another_search(train, other):
    first = small, train()
    assert refused_for(first, (small, train())) is None
    assert refused_for(first, (small, other())) == "train"


def test_a_search_of_an_earlier_version_is_refused():
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="search")
    earlier = {"data": "ab", "candidates": ["mine"], "seed": 0}
    study.set_user_attr("search", json.dumps(earlier))
    study.set_user_attr("enqueued", True)
    with pytest.raises(ValueError, match="another version of keras_sgt"):
        begin(storage, small)


def test_another_process_says_the_same_of_a_model(tmp_path):
    url = f"sqlite:///{tmp_path / 'search.db'}"
    code = (
        "import test_plan; test_plan.small();"
        f"test_plan.begin({url!r}, test_plan.branched)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": "7",
        },
    )
    begin(url, branched)
    with pytest.raises(ValueError, match="with other build_model"):
        begin(url, small)


class Endless(Batches):
    @property
    def num_batches(self):
        return None


def repeated():
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensors((X, Y)).repeat()


@pytest.mark.parametrize("train", [lambda: Endless(2), repeated])
def test_training_data_without_an_end_are_refused(train):
    with pytest.raises(
        ValueError, match=r"`train` has to be .* without an end"
    ):
        begin(None, small, train())
