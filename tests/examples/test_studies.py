"""The studies run, at their small sizes; minutes each."""

import importlib
import math
import os
import pathlib
import sys

import keras
import numpy as np
import pytest

STUDIES = pathlib.Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(STUDIES), *sys.path])
    return importlib.import_module


@pytest.mark.slow
def test_which_guidance_pays(study, tmp_path):
    table = tmp_path / "guidance.csv"
    arguments = ["--quick", "--csv", str(table)]
    rows = study("guidance").main(arguments)
    roles = {row["role"] for row in rows}
    assert roles == {"selection", "traditional", "guidance", "control"}
    drops = [float(row["drop_mean"]) for row in rows if row["drop_mean"]]
    assert drops
    assert not any(map(math.isnan, drops))
    # What the table holds is not run again.
    assert len(study("guidance").main(arguments)) == len(rows)


@pytest.mark.slow
def test_real_series(study, tmp_path):
    if not (
        pathlib.Path(os.environ.get("KERAS_SGT_DATA", "")) / "ucr"
    ).is_dir():
        pytest.skip("KERAS_SGT_DATA has no ucr")
    table = tmp_path / "series.csv"
    arguments = ["--quick", "--methods", "gradient", "--csv", str(table)]
    rows = study("real_series").main(arguments)
    kinds = [row["training"] for row in rows]
    assert kinds == ["traditional", "guided", "random mask"]
    for row in rows:
        assert row["task"] == "ItalyPowerDemand"
        assert float(row["accuracy"]) > 0.6
        assert 0 < float(row["drop_mean"]) < 0.9
    # What the table holds is not run again.
    assert len(study("real_series").main(arguments)) == len(rows)


@pytest.mark.slow
def test_language_by_the_schedule_of_eraser(study, tmp_path):
    root = os.environ.get("KERAS_SGT_DATA", "")
    if not pathlib.Path(root, "esnli").is_dir():
        pytest.skip("KERAS_SGT_DATA has no esnli")
    rows = study("language").main(
        [
            *("--quick", "--dataset", "esnli", "--schedule", "eraser"),
            *("--methods", "gradient", "--csv", str(tmp_path / "runs.csv")),
            *("--trainings", "traditional", "fine-tuned"),
        ]
    )
    tried = [row for row in rows if row["task"] == "esnli, selection"]
    assert [row["training"] for row in tried[:2]] == [
        "traditional",
        "fine-tuned",
    ]
    assert tried[1]["kl_weight"] == "1"
    read = [row for row in rows if row["task"] == "esnli"]
    assert [row["training"] for row in read] == ["traditional", "fine-tuned"]
    assert {row["kl_weight"] for row in read} == {tried[-1]["kl_weight"]}
    assert "patience 5, guided: last 1" in read[1]["options"]


@pytest.mark.slow
def test_a_search_where_nothing_can_be_found(study):
    [row] = study("search").main(["--quick", "--tasks", "noise"])
    assert row["wins"] == "False"
    assert "train traditionally" in row["verdict"]


@pytest.mark.slow
def test_series_as_the_benchmark_trains_them(study, tmp_path):
    table = tmp_path / "series.csv"
    arguments = ["--protocol", "benchmark", "--quick", "--csv", str(table)]
    rows = study("time_series").main(arguments)
    kinds = [row["training"] for row in rows]
    assert kinds == ["traditional", "masked, then moved"]
    for row in rows:
        # Looked at after every third epoch, of 12.
        assert int(row["best_epoch"]) in (3, 6, 9, 12)
        assert float(row["accuracy"]) >= 0.9
        for method in ("gradient", "integrated gradients", "DeepSHAP"):
            # One Random for all methods.
            for measure in ("aup", "aur"):
                own = float(row[f"{method} {measure}"])
                above = float(row[f"{method} diff_{measure}"])
                random = float(row[f"Random {measure}"])
                assert own - above == pytest.approx(random, abs=2e-4)
    # What the table holds is not run again.
    assert len(study("time_series").main(arguments)) == len(rows)


@pytest.mark.slow
def test_series_rescaled_in_time(study, tmp_path):
    call = ["--protocol", "benchmark", "--quick", "--rescaled"]
    rows = study("time_series").main([*call, "--trainings", "traditional"])
    (row,) = rows
    assert row["options"] == "rescaled"
    plain, found = (
        float(row[f"{name} diff_aup"]) for name in ("gradient", "TSR, gradient")
    )
    # Both above the gradient's Random, so what differs is their own.
    own = [float(row[f"{m} aup"]) for m in ("gradient", "TSR, gradient")]
    assert found - plain == pytest.approx(own[1] - own[0], abs=2e-4)
    assert found > 0.1
    assert "SmoothGrad aup" not in row


def test_training_stops_at_the_first_best_look(study):
    """The weights of that look are those that are read."""
    benchmark = study("time_series_benchmark")
    looked = iter([0.5, 0.8, 0.8, 0.7])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.stop_training = False
    best = benchmark.FirstBest()
    best.set_model(model)
    for epoch in range(12):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        looks = epoch % 3 == 2
        best.on_epoch_end(
            epoch, {"val_accuracy": next(looked)} if looks else {}
        )
        assert not model.stop_training
    best.on_train_end()
    assert (best.epoch, best.accuracy) == (6, 0.8)
    assert model.get_weights()[0] == 5
    best.on_epoch_end(12, {"val_accuracy": 0.99})
    assert model.stop_training


def test_a_network_that_ends_in_a_softmax(study):
    """As the benchmark has it; the same network beneath."""
    networks, benchmark = map(study, ("networks", "time_series_benchmark"))
    logits = networks.lstm(4, 3)
    found = benchmark.with_softmax(lambda: logits)
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    powers = np.exp(logits.predict(x, verbose=0))
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(found.predict(x, verbose=0), expected, rtol=1e-5)


def test_every_data_set_is_in_one_part(study, monkeypatch):
    benchmark = study("time_series_benchmark")
    seen = []

    class Study:
        def __init__(self, args, table):
            pass

        def run(self, task, network, kind, seed, data):
            seen.append((task, kind, seed))

    monkeypatch.setattr(benchmark, "Study", Study)
    monkeypatch.setattr(benchmark.time_series, "box_data", lambda *which: None)
    for place in (1, 2, 3):
        benchmark.main(["--networks", "tcn", "--part", f"{place}/3"])
    # Five trainings mask, with either fraction; three do not.
    assert len(seen) == 70 * 2 * (5 * 2 + 3)
    assert len(set(seen)) == 70 * 2 * 8
    with pytest.raises(SystemExit):
        benchmark.main(["--part", "4/3"])
