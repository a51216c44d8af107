import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import numpy as np
import pytest

keras.config.disable_traceback_filtering()


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` is applied
def pytest_collection_modifyitems(items):
    """What is little to do with a backend, and long to compile there."""
    if keras.backend.backend() == "torch":
        return
    for item in items:
        if item.get_closest_marker("slow_to_compile"):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _clean_session():
    keras.utils.set_random_seed(0)
    yield
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def images():
    """60 grey images of 8 × 8 in 4 classes, the class in a bright quarter."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 60)
    x = rng.random((60, 8, 8, 1), dtype="float32")
    for image, label in zip(x, y):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 1
    return x, y.astype("int32")
