"""Trains one small network three times, and shows what guided training changes.

    python examples/quickstart.py

The network learns scikit-learn's handwritten digits (nothing is downloaded):
traditionally, saliency guided, and with the random-mask control, which masks as
many pixels but picks them blindly. Prints a table and writes `saliency.png`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import keras_sgt

RANKINGS = {"traditional": None, "guided": "signed", "random mask": "random"}


def digits():
    """Images in [0, 1] and their labels: for training, then for the test."""
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[:450], order[450:]
    return (x[train], y[train]), (x[test], y[test])


def trained(ranking, x, y, epochs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
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
    trainer = model
    if ranking is not None:  # the lines that this library adds
        masking = keras_sgt.masking.FeatureMasking(ranking, seed=0)
        trainer = keras_sgt.SaliencyGuidedModel(model, masking=masking)
    trainer.compile("adam", "sparse_categorical_crossentropy")
    trainer.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def figure(x, y, maps, drops, path):
    """Images, their maps after each training, and accuracy as pixels go."""
    samples = [int(np.flatnonzero(y == label)[0]) for label in range(5)]
    plot = plt.figure(figsize=(11, 6.4), layout="constrained")
    left, right = plot.subfigures(1, 2, width_ratios=[1.25, 1])
    left.suptitle("|gradient| of the true class", fontsize=11)
    shown = {"image": x, **maps}
    for axis, title in zip(left.subplots(1, len(shown)), shown):
        images = shown[title][samples, ..., 0]
        most = np.percentile(images, 99, axis=(1, 2), keepdims=True)
        border = ((0, 0), (1, 1), (1, 1))
        images = np.pad(images / most, border, constant_values=np.nan)
        colours = "gray_r" if title == "image" else "inferno"
        axis.imshow(np.concatenate(images), cmap=colours, vmin=0, vmax=1)
        axis.set_title(title.replace(" ", "\n", 1), fontsize=10)
        axis.axis("off")
    axis = right.subplots()
    for (name, drop), style in zip(drops.items(), ("--", "-", ":")):
        removed = 100 * np.asarray(drop.levels)
        axis.plot(removed, drop.curve, style, label=name, linewidth=2)
    axis.set(
        xlabel="most salient pixels removed (%)",
        ylabel="accuracy",
        title="Accuracy drop: steeper is better",
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    plot.savefig(path, dpi=110)
    plt.close(plot)


def main(epochs=30, path="saliency.png"):
    train, (x, y) = digits()
    maps, drops = {}, {}
    print(f"{'':12}accuracy ↑  accuracy-drop area ↓  |gradient| on the digit ↑")
    for name, ranking in RANKINGS.items():
        model = trained(ranking, *train, epochs)
        maps[name] = abs(keras_sgt.attribution.Gradient(model)(x, y))
        drops[name] = keras_sgt.evaluation.accuracy_drop(
            model, x, y, maps[name]
        )
        mass = keras_sgt.evaluation.relevance_mass(maps[name], x > 0)
        numbers = (drops[name].curve[0], drops[name].value, mass.value)
        print("{:12}{:>10.3f}{:>22.3f}{:>27.3f}".format(name, *numbers))
    figure(x, y, maps, drops, path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
