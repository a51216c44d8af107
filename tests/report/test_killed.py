"""A comparison killed at any moment goes on, and leaves no half file."""

import random
import time

import killed_work
import numpy as np
import pytest

# Where `files.replacing` writes until a file is whole.
PARTS = {"cache": "cache/.*.part", "report": ".report*.part"}


def start(folder):
    folder.mkdir(exist_ok=True)
    return killed_work.start(killed_work.compare, folder)


def check_files(folder):
    """Whatever has its name is whole."""
    for path in folder.glob("cache/*.npz"):
        with np.load(path) as arrays:
            assert all(arrays[name] is not None for name in arrays)
    report = folder / "report.html"
    assert not report.exists() or report.read_text().endswith("</html>")


@pytest.mark.slow
def test_killed_twenty_times(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    began = time.monotonic()
    process = start(alone)
    process.join()
    assert process.exitcode == 0
    lasted = time.monotonic() - began
    moments, amid = random.Random(0), {"cache": 0, "report": 0}
    for number in range(20):
        for path in killed.glob("cache/*.npz") if number % 4 == 1 else ():
            path.unlink()  # so that there is something to write
        process = start(killed)
        place = ["cache", "report"][number // 2 % 2]
        half = PARTS[place]
        if number % 2:  # while a file is being written
            before = {*killed.glob(half)}
            while process.is_alive() and {*killed.glob(half)} == before:
                pass
        else:
            time.sleep(moments.uniform(0, lasted / 2))
        process.kill()
        process.join()
        if number % 2:
            amid[place] += {*killed.glob(half)} != before
        check_files(killed)
    process = start(killed)
    process.join()
    assert process.exitcode == 0
    check_files(killed)
    rows = (killed / "rows.json").read_text()
    assert rows == (alone / "rows.json").read_text()
    assert all(amid.values()), amid
