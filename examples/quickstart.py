"""Trains one small network three times, and shows what guided training changes.

    python examples/quickstart.py

The network learns scikit-learn's handwritten digits (nothing is downloaded):
traditionally, saliency guided, and with the random-mask control, which masks as
many pixels but picks them blindly. Prints a table and writes `saliency.png`.

    python examples/quickstart.py --search

goes on in a second act: which guidance is worth it on these digits? It takes
some minutes and `pip install optuna`, ends in a sentence, and writes
`search.html`.
"""

import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import keras_sgt
from keras_sgt import attribution, evaluation, report

RANKINGS = {"traditional": None, "guided": "signed", "random mask": "random"}


def digits():
    """Images in [0, 1] and their labels: for training, then for the test."""
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:450], order[450:]
    return (x[train], y[train]), (x[test], y[test])


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def trained(ranking, x, y, epochs):
    keras.utils.set_random_seed(0)
    trainer = model = network()
    if ranking is not None:  # the lines that this library adds
        masking = keras_sgt.masking.FeatureMasking(ranking, seed=0)
        trainer = keras_sgt.SaliencyGuidedModel(model, masking=masking)
    trainer.compile("adam", "sparse_categorical_crossentropy")
    trainer.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def figure(x, y, maps, drops, path):
    """Images, their maps after each training, and accuracy as pixels go."""
    samples = [int(np.flatnonzero(y == label)[0]) for label in range(5)]
    plot = plt.figure(figsize=(11, 5.2), layout="constrained")
    left, right = plot.subfigures(1, 2, width_ratios=[1.2, 1])
    top, *rows = left.subplots(1 + len(maps), 1)
    top.imshow(np.hstack(x[samples, ..., 0]), cmap="gray_r")
    top.set_title("images", fontsize=10)
    top.set_axis_off()
    for axis, name in zip(rows, maps):
        report.plot_maps(maps[name][samples], ax=axis)
        axis.set_title(f"|gradient|, {name}", fontsize=10)
    curves = {name: (drop.levels, drop.curve) for name, drop in drops.items()}
    axis = right.subplots()
    report.plot_curves(curves, "Accuracy drop: steeper is better", ax=axis)
    axis.set(
        xlabel="share of the most salient pixels removed", ylabel="accuracy"
    )
    plot.savefig(path, dpi=110)
    plt.close(plot)


def second_act(trials=12, epochs=15, path="search.html"):
    """Tries guidances, and says whether one beats its control."""

    def build_model():
        model = network()
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    train, (x, y) = digits()
    found = keras_sgt.search(
        build_model,
        train,
        validation=(x, y),  # half of it confirms
        truth=x > 0,
        trials=trials,
        epochs=epochs,
        batch_size=64,
    )
    print(found.verdict)
    found.save(path)


def main(epochs=30, path="saliency.png"):
    train, (x, y) = digits()
    maps, drops = {}, {}
    print(f"{'':12}accuracy ↑  accuracy-drop area ↓  |gradient| on the digit ↑")
    for name, ranking in RANKINGS.items():
        model = trained(ranking, *train, epochs)
        maps[name] = abs(attribution.Gradient(model)(x, y))
        drops[name] = evaluation.accuracy_drop(model, x, y, maps[name])
        mass = evaluation.relevance_mass(maps[name], x > 0)
        numbers = (drops[name].curve[0], drops[name].value, mass.value)
        print("{:12}{:>10.3f}{:>22.3f}{:>27.3f}".format(name, *numbers))
    figure(x, y, maps, drops, path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
    if "--search" in sys.argv:
        second_act()
