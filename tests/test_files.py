"""Files that are whole, and lose nothing, whoever writes them."""

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_sgt import files

STUDIES = pathlib.Path(__file__).parents[1] / "examples" / "studies"

# What each of two processes does. The first keys of the cache are of both.
WRITER = """
import pathlib, sys
import numpy as np
sys.path.insert(0, {studies!r})
import runner
from keras_sgt import files
from keras_sgt.report.cache import Cache

number, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
table, cache = runner.Table(folder / "rows.csv"), Cache(folder / "cache")
for i in range(200):
    table.add([{{"process": number, "row": i}}])
    key = i if i < 100 else 1000 * number + i
    found = cache.get([key], lambda: {{"values": np.full(1000, key)}})
    assert (found["values"] == key).all()
    files.write(folder / "last.txt", str(number) * 10000)
"""


@pytest.mark.slow_to_compile
def test_two_processes_lose_nothing(tmp_path):
    script = WRITER.format(studies=str(STUDIES))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(number), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    told = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [(int(row["process"]), int(row["row"])) for row in rows]
    assert sorted(rows) == [(n, i) for n in (1, 2) for i in range(200)]
    cached = list((tmp_path / "cache").iterdir())
    assert len(cached) == 300
    for file in cached:
        assert np.load(file)["values"].shape == (1000,)
    last = (tmp_path / "last.txt").read_text()
    assert last in ("1" * 10000, "2" * 10000)
    # Neither locks nor unfinished files stay.
    assert set(os.listdir(tmp_path)) == {"rows.csv", "cache", "last.txt"}


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "numbers.txt"
    files.write(path, "old")
    with pytest.raises(TypeError), files.replacing(path) as file:
        file.writelines([b"half of the n", None])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["numbers.txt"]


def test_a_long_name_is_written(tmp_path):
    path = tmp_path / ("n" * 250)
    files.write(path, "text")
    with files.locked(path):
        assert path.read_text() == "text"
