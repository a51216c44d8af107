"""Whether masked batches should enter batch normalisation's moving statistics.

    KERAS_BACKEND=tensorflow python benchmarks/batch_normalisation.py

A small ResNet on Fashion-MNIST: trained traditionally, guided with moving
statistics of clean and masked batches (as in the authors' code), and guided
with those of clean batches alone. Test accuracy with the moving statistics,
and the accuracy-drop area of the gradient, filled with another image's pixels.
"""

import argparse
import statistics
import time

import common
import keras
import numpy as np
from keras import layers

import keras_sgt
from keras_sgt import attribution, datasets, evaluation

TRAININGS = {
    "traditional": None,
    "guided, statistics of both": True,
    "guided, statistics of clean batches": False,
}


def resnet(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    for filters, strides in ((16, 2), (32, 2), (64, 2)):
        shortcut = layers.Conv2D(filters, 1, strides, use_bias=False)(x)
        for stride in (strides, 1):
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
            x = layers.Conv2D(
                filters, 3, stride, padding="same", use_bias=False
            )(x)
        x = layers.Add()([x, shortcut])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))


def trained(masked_statistics, x, y, seed, args):
    keras.utils.set_random_seed(seed)
    model = resnet(x.shape[1:], 10)
    trainer = model
    if masked_statistics is not None:
        trainer = keras_sgt.SaliencyGuidedModel(
            model, seed=seed, masked_statistics=masked_statistics
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("adam", loss)
    trainer.fit(x, y, batch_size=64, epochs=args.epochs, verbose=0)
    return model


def measured(model, x, y):
    outputs = model.predict(x, batch_size=500, verbose=0)
    gradients = attribution.Gradient(model)(x, y, verbose=0)
    drop = evaluation.accuracy_drop(model, x, y, gradients, fill="sample")
    return {
        "accuracy": round(float(np.mean(outputs.argmax(1) == y)), 4),
        "drop_area": round(float(drop.value), 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train-images", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    data = datasets.load("fashion_mnist")
    x, y = data.train.x[: args.train_images], data.train.y[: args.train_images]
    test = data.test.x, data.test.y
    rows = []
    for seed in args.seeds:
        for name, masked_statistics in TRAININGS.items():
            start = time.perf_counter()
            model = trained(masked_statistics, x, y, seed, args)
            seconds = round(time.perf_counter() - start)
            row = {"training": name, "seed": seed, **measured(model, *test)}
            rows.append({**row, "seconds": seconds})
            print(rows[-1], flush=True)
    summary = {
        name: {
            f"{kind}_{measure}": round(
                reduce(r[measure] for r in rows if r["training"] == name), 4
            )
            for measure in ("accuracy", "drop_area")
            for kind, reduce in (
                ("mean", statistics.mean),
                ("stdev", statistics.stdev),
            )
        }
        for name in TRAININGS
    }
    print(summary)
    content = {**vars(args), "summary": summary, "rows": rows}
    common.save("batch_normalisation", content)


if __name__ == "__main__":
    main()
