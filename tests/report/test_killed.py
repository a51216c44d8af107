"""A comparison killed at any moment goes on, and leaves no half file."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SCRIPT = """
import json, pathlib, sys
import keras
import numpy as np
import keras_sgt

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(0)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")])
model.set_weights([rng.normal(size=(6, 3)), np.zeros(3)])
x, y = rng.normal(size=(40, 6)).astype("float32"), rng.integers(0, 3, 40)
print("began", flush=True)
for number in range(3):  # the second reads what the first has kept
    result = keras_sgt.compare(
        {"only": model}, x, y, methods=["gradient", "smoothgrad"],
        cache=folder / "cache", verbose=0,
    )
    result.save(folder / "report.html")
(folder / "rows.json").write_text(json.dumps(result.rows))
"""


# Where `files.replacing` writes until a file is whole.
PARTS = {"cache": "cache/.*.part", "report": ".report*.part"}


def start(folder):
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while (line := process.stdout.readline()) and line != "began\n":
        pass
    return process


def check_files(folder):
    """Whatever has its name is whole."""
    for path in folder.glob("cache/*.npz"):
        with np.load(path) as arrays:
            assert all(arrays[name] is not None for name in arrays)
    report = folder / "report.html"
    assert not report.exists() or report.read_text().endswith("</html>\n")


@pytest.mark.slow
def test_killed_twenty_times(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    began = time.monotonic()
    assert start(alone).wait() == 0
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
            while process.poll() is None and {*killed.glob(half)} == before:
                pass
        else:
            time.sleep(moments.uniform(0, lasted / 2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if number % 2:
            amid[place] += {*killed.glob(half)} != before
        check_files(killed)
    assert start(killed).wait() == 0
    check_files(killed)
    rows = (killed / "rows.json").read_text()
    assert rows == (alone / "rows.json").read_text()
    assert all(amid.values()), amid
