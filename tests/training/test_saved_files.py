"""Files that an earlier version saved."""

import golden
import numpy as np
import pytest

import keras_sgt

pytestmark = pytest.mark.skipif(
    not golden.FOLDER,
    reason="KERAS_SGT_GOLDEN, the folder of saved_0.1.0, not set",
)
SETTINGS = {
    "images": {"mask_fraction": 0.4, "kl_weight": 0.7, "batch_fraction": 0.5},
    "words": {"mask_fraction": 0.5, "kl_weight": 0.3, "step_fraction": 0.5},
}


@pytest.mark.parametrize("name", golden.SAVED)
def test_a_file_of_0_1_0_predicts_and_trains_on(name):
    model, x, y, predictions = golden.saved(name)
    assert type(model) is keras_sgt.SaliencyGuidedModel
    settings = {key: getattr(model, key) for key in SETTINGS[name]}
    assert settings == SETTINGS[name]
    assert model.masking.ranking == "absolute"
    np.testing.assert_allclose(
        model.predict(x, verbose=0), predictions, rtol=0, atol=1e-5
    )
    steps = int(model.optimizer.iterations)
    assert steps > 0
    before = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    # Two batches an epoch: of `step_fraction=1/2` one is guided.
    logs = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    assert int(model.optimizer.iterations) == steps + 8
    assert np.all(np.isfinite(logs["divergence"]))
    assert logs["divergence"][0] > 0
    after = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert after < before
