"""One training step against numbers read off the original authors' code."""

import golden
import keras
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    not golden.FOLDER,
    reason="KERAS_SGT_GOLDEN, the folder of sgt_step.npz, not set",
)


@pytest.mark.parametrize("ranking", golden.RANKINGS)
def test_step_of_the_authors(ranking):
    # The golden numbers are float64. In float32 it depends on the processor
    # which of two nearly equal values a pooling takes, and with it a patch of
    # the saliency. JAX has no float64 unless the whole process has.
    precision = "float32" if keras.backend.backend() == "jax" else "float64"
    compared = {}
    for name, actual, expected in golden.step(
        golden.numbers(), ranking, precision
    ):
        if name == "mask":
            np.testing.assert_array_equal(actual, expected)
        assert np.shape(actual) == expected.shape
        assert golden.deviation(actual, expected) < 1e-4, name
        compared[name] = compared.get(name, 0) + 1
    assert len(compared) == 12
    assert sum(compared.values()) == 17
