"""Measures this package with the Keras and the backend that it runs on.

    KERAS_BACKEND=torch KERAS_SGT_GOLDEN=... python tools/keras_versions.py

adds a line to docs/results/keras_versions.csv, or replaces the one of this
version and backend, and writes docs/keras_versions.md from all lines. With
`--page` it only writes the page.
"""

import argparse
import os
import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import runs

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # what is measured is what is tested
RUNS = ROOT / "docs" / "results" / "keras_versions.csv"
PAGE = ROOT / "docs" / "keras_versions.md"
FRAMEWORKS = ("tensorflow", "jax", "torch")
TOLERANCE = 1e-5  # of what saved models predict
START = f"""# With which Keras it works

Written by `tools/keras_versions.py`, which measures in the environment that it
runs in and adds its line to [the table](results/keras_versions.csv).

- *Loss*, *divergence*, *gradients*: one guided step on 16 images, in float32,
  beside the numbers of the original authors' code in float64: the largest
  difference, as a share of the largest value, for both rankings.
- *Plain training*: whether two epochs with `kl_weight=0` end with exactly the
  weights of `keras.Model.fit`, bit for bit.
- *Saved by 0.1.0*: the largest difference between what the models that
  keras_sgt 0.1.0 saved predict now and what they predicted then (up to
  {TOLERANCE:.0e} is tolerated), and whether they go on training. Keras 3.15
  wrote them, and Keras 3.12 refuses its layers for settings that it does not
  know yet; for it those settings, all at defaults, are taken out first."""


def golden_step():
    """The largest deviation of a guided step, by what it is of."""
    import golden

    found = {"loss": 0.0, "divergence": 0.0, "gradients": 0.0}
    for ranking in golden.RANKINGS:
        step = golden.step(golden.numbers(), ranking, "float32")
        for name, actual, expected in step:
            kind = "gradients" if name.startswith("gradient") else name
            if kind in found:
                off = float(golden.deviation(actual, expected))
                found[kind] = max(found[kind], off)
    return {kind: f"{off:.1e}" for kind, off in found.items()}


def plain_training():
    """Whether training with `kl_weight=0` is that of Keras, bit for bit."""
    import keras
    import numpy as np
    from keras import layers

    import keras_sgt

    rng = np.random.default_rng(0)
    x = rng.random((60, 8, 8, 1), dtype="float32")
    y = rng.integers(0, 4, 60)

    def weights(wrap):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(6, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.Flatten(),
                layers.Dropout(0.3),
                layers.Dense(4, activation="softmax"),
            ]
        )
        before = model.get_weights()
        trainer = wrap(model)
        trainer.compile("adam", "sparse_categorical_crossentropy")
        keras.utils.set_random_seed(2)
        trainer.fit(x, y, batch_size=16, epochs=2, verbose=0)
        return before, model.get_weights()

    before, expected = weights(lambda model: model)
    _, found = weights(
        lambda model: keras_sgt.SaliencyGuidedModel(model, kl_weight=0)
    )
    assert not np.array_equal(before[0], expected[0])
    same = all(np.array_equal(a, b) for a, b in zip(expected, found))
    return {"plain_training_is_equal": "yes" if same else "no"}


def saved_files():
    """How far old files' predictions are off, and whether they train on."""
    import golden
    import numpy as np

    off, trained = 0.0, True
    for name in golden.SAVED:
        model, x, y, predictions = golden.saved(name)
        found = model.predict(x, verbose=0)
        off = max(off, float(np.abs(found - predictions).max()))
        steps = int(model.optimizer.iterations)
        loss = model.fit(x, y, epochs=2, verbose=0).history["loss"]
        on = int(model.optimizer.iterations) > steps
        trained &= on and bool(np.isfinite(loss).all())
    return {
        "saved_off_by": f"{off:.1e}",
        "saved_trains_on": "yes" if trained else "no",
    }


def measured():
    import keras

    import keras_sgt

    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": sys.modules[backend].__version__,
        "keras_sgt": keras_sgt.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        **golden_step(),
        **plain_training(),
        **saved_files(),
    }


def release(line):
    """Sorts 3.9 before 3.12, and backends as they are always listed."""
    numbers = [int(n) for n in line["keras"].split(".")[:3] if n.isdigit()]
    return numbers, line["keras"], FRAMEWORKS.index(line["backend"])


def page():
    head = ["Keras", "backend", "loss", "divergence", "gradients"]
    head += ["plain training", "saved by 0.1.0"]
    rows, lines = [], runs.lines(RUNS)
    for line in lines:
        same = {"yes": "bit for bit", "no": "**differs**"}
        on = {"yes": "trains on", "no": "**does not train on**"}
        off = line["saved_off_by"]
        off = off if float(off) <= TOLERANCE else f"**{off}**"
        rows.append(
            [
                line["keras"],
                f"{line['backend']} {line['backend_version']}",
                *(line[kind] for kind in ("loss", "divergence", "gradients")),
                same[line["plain_training_is_equal"]],
                f"{off}, {on[line['saved_trains_on']]}",
            ]
        )
    machines = {f"{o['platform']}, {o['cores']} cores" for o in lines}
    versions = {o["keras_sgt"] for o in lines}
    note = f"keras_sgt {', '.join(sorted(versions))}; "
    note += f"{'; '.join(sorted(machines))}, CPU."
    return "\n\n".join([START, runs.table(head, rows), note]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--page", action="store_true", help="write the page, measure nothing"
    )
    if not parser.parse_args().page:
        if "KERAS_SGT_GOLDEN" not in os.environ:
            raise SystemExit(
                "KERAS_SGT_GOLDEN has to name the folder of sgt_step.npz."
            )
        new = measured()
        print(new)
        runs.put(RUNS, new, ("keras", "backend"), release)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
