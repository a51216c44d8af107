"""The studies run, at their small sizes; minutes each."""

import importlib
import math
import pathlib
import sys

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
def test_a_search_where_nothing_can_be_found(study):
    [row] = study("search").main(["--quick", "--tasks", "noise"])
    assert row["wins"] == "False"
    assert "train traditionally" in row["verdict"]
