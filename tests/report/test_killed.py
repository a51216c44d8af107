"""A comparison killed at any moment goes on, and leaves no half file."""

import signal
import time

import killed_work
import numpy as np
import pytest

# Where `files.replacing` writes until a file is whole.
PARTS = {"cache": "cache/.*.part", "report": ".report*.part"}


def start(folder):
    folder.mkdir(exist_ok=True)
    return killed_work.start(killed_work.compare, folder)


def half_files(folder):
    return {place: {*folder.glob(name)} for place, name in PARTS.items()}


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
    killed_work.start(int).join()  # the server is there from now on
    began = time.monotonic()
    process = start(alone)
    process.join()
    assert process.exitcode == 0
    lasted = time.monotonic() - began
    moments, kills = killed_work.moments(), 0
    amid = {"cache": 0, "report": 0}
    while kills < 20:
        for path in killed.glob("cache/*.npz") if kills % 4 < 2 else ():
            path.unlink()  # so that there is something to write
        process = start(killed)
        before = half_files(killed)
        if kills % 2:  # while a file is being written
            place = ["cache", "report"][kills // 2 % 2]
            while process.is_alive():
                if half_files(killed)[place] - before[place]:
                    break
        else:
            time.sleep(moments.uniform(0, lasted))
        process.kill()
        process.join()
        check_files(killed)
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0  # done before it was killed
            continue
        kills += 1
        for place, files in half_files(killed).items():
            amid[place] += bool(files - before[place])
    process = start(killed)
    process.join()
    assert process.exitcode == 0
    check_files(killed)
    rows = (killed / "rows.json").read_text()
    assert rows == (alone / "rows.json").read_text()
    print(f"{kills} kills: {amid} amid writing")
    assert all(amid.values()), amid
