"""Loaders of tables and sensor series."""

import csv

import numpy as np

from keras_sgt.datasets.files import Dataset, Split, file

_HAR = (
    "walking",
    "upstairs",
    "downstairs",
    "sitting",
    "standing",
    "laying",
    "stand to sit",
    "sit to stand",
    "sit to lie",
    "lie to sit",
    "stand to lie",
    "lie to stand",
)


_SENSORS = ("acc", "gyro")


_HAR_TEST_USERS = (2, 4, 9, 10, 12, 13, 18, 20, 24)


_WINDOW, _STRIDE = 128, 64


def har(data_dir, transitions=False):
    """Windows inside each labelled stretch, as the data's authors cut them."""
    raw = np.load(file(data_dir, "hapt", "hapt_signals_i16.npz"))
    signal, scale = raw["signal"], raw["scale"].astype("float32")
    offsets = dict(zip(raw["exp"].tolist(), raw["offsets"].tolist()))
    found = {False: ([], []), True: ([], [])}
    for experiment, user, activity, start, end in raw["labels"].tolist():
        if activity > 6 and not transitions:
            continue
        x, y = found[user in _HAR_TEST_USERS]
        stretch = signal[offsets[experiment] + start - 1 :][: end - start + 1]
        for first in range(0, len(stretch) - _WINDOW + 1, _STRIDE):
            x.append(stretch[first : first + _WINDOW] * scale)
            y.append(activity - 1)
    train, test = (
        Split(np.stack(x), np.array(y, "int32")) for x, y in found.values()
    )
    return Dataset(
        train,
        test,
        _HAR if transitions else _HAR[:6],
        features=tuple(f"{of} {axis}" for of in _SENSORS for axis in "xyz"),
    )


_ADULT = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
)


def adult(data_dir, seed=0):
    with file(data_dir, "adult", "adult.data").open() as lines:
        rows = [r for r in csv.reader(lines, skipinitialspace=True) if r]
    order = np.random.default_rng(seed).permutation(len(rows))
    test, train = np.split(order, [len(rows) // 4])
    y = np.array([r[-1].startswith(">50K") for r in rows], "int32")
    columns = {}
    for name, values in zip(_ADULT, zip(*rows)):
        numeric = all(v.lstrip("-").isdigit() for v in values)
        columns[name] = np.array(values, "float32" if numeric else str)
    parts = (
        Split({k: v[part] for k, v in columns.items()}, y[part])
        for part in (train, test)
    )
    return Dataset(*parts, ("at most 50K", "above 50K"), features=_ADULT)
