"""What the benchmarks share: where they ran, and how they are timed."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import keras

import keras_sgt

FOLDER = pathlib.Path(__file__).parent / "results"


def circumstances():
    backend = keras.backend.backend()
    framework = __import__(backend)
    return {
        "backend": backend,
        "versions": {
            "keras": keras.__version__,
            "keras_sgt": keras_sgt.__version__,
            backend: framework.__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU",
    }


def interleaved(functions, rounds, warm=True):
    """Milliseconds of each function, run in turn so that noise hits all.

    A function that returns a float has measured its seconds itself. `warm`:
    each is called once before.
    """
    for function in functions.values() if warm else ():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            found = function()
            if not isinstance(found, float):
                found = time.perf_counter() - start
            seconds[name].append(1000 * found)
    return {
        name: {
            "median_ms": round(statistics.median(values), 3),
            "min_ms": round(min(values), 3),
            "max_ms": round(max(values), 3),
        }
        for name, values in seconds.items()
    }


class _Stopwatch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def fit_seconds(model, x, y, batch_size):
    """Trains one epoch, and returns its seconds.

    Without the end of `fit`, where TensorFlow waits for the threads that fed
    it, which end at ticks of more than a second.
    """
    watch = _Stopwatch()
    model.fit(
        *(x, y),
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[watch],
    )
    return watch.seconds


def peak_mib(function):
    """The most memory a function needs above what the process holds (Linux).

    To be called once, in a process of its own: memory that was freed, but kept
    for later, would not count again.
    """
    status = pathlib.Path("/proc/self/status")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak

    def peak():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024

    before = peak()
    function()
    return round(peak() - before)


def in_a_process(*arguments):
    """The last line that this script prints when called with arguments."""
    call = [sys.executable, sys.argv[0], *map(str, arguments)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def save(name, content):
    """JSON in `results/`."""
    from keras_sgt import files  # an older checkout has none

    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}-{keras.backend.backend()}.json"
    text = json.dumps({**circumstances(), **content}, indent=1) + "\n"
    files.write(path, text)
    print(f"wrote {path.relative_to(pathlib.Path.cwd())}")
