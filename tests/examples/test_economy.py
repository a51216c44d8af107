"""How the study of economy chooses, where the outcome of trainings is told."""

import argparse
import importlib
import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "studies"


class Told:
    """An example whose accuracy in validation falls with λ and the rate."""

    def __init__(self, accuracy):
        self.accuracy, self.calls = accuracy, []

    def main(self, call):
        self.calls.append(call)
        weight, rate = (
            call[call.index(option) + 1] if option in call else "1"
            for option in ("--kl-weight", "--guided-rate")
        )
        (training,) = call[
            call.index("--trainings") + 1 : call.index("--seeds")
        ]
        accuracy = 0.9
        if training != "traditional":
            accuracy = self.accuracy[float(weight), float(rate)]
        row = {
            "training": training,
            "seed": "7",
            "learning_rate": "1",
            "kl_weight": weight,
            "options": f"guided: last 1 at rate {float(rate):g}",
            "valid_accuracy": str(accuracy),
        }
        # What an earlier setting gave is in the table too.
        return [row, {**row, "kl_weight": "5"}]


@pytest.fixture
def economy(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("economy")


@pytest.mark.parametrize(
    ("accurate", "chosen", "tried"),
    [
        ({(1, 1): 0.896}, (1, 1), 1),
        ({(1, 0.3): 0.895, (0.3, 1): 0.9}, (1, 0.3), 2),
        ({(0.1, 1): 0.91}, (0.1, 1), 5),
        ({(0.3, 0.3): 0.85}, (0.3, 0.3), 6),  # none is as good: the best
    ],
)
def test_the_strongest_that_keeps_accuracy(economy, accurate, chosen, tried):
    settings = [(w, r) for w in (1, 0.3, 0.1) for r in (1, 0.3)]
    example = Told({key: accurate.get(key, 0.8) for key in settings})
    economy.TASKS["told"] = economy.Task(example, [], 3, 1)
    args = argparse.Namespace(
        task="told", epochs=None, seeds=[7, 8], train_samples=None, csv=None
    )
    found = economy.Runs(args).chosen()
    assert (found["kl_weight"], found["guided_rate"]) == chosen
    assert len(example.calls) == 1 + tried
    assert all(
        call[call.index("--seeds") + 1 :][0] == "7" for call in example.calls
    )
