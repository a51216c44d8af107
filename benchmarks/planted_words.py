"""Do the words that decide a label rank highest? Guided training and plain.

    KERAS_BACKEND=torch python benchmarks/planted_words.py

Texts of 30 random words out of 200, with one of three planted words: it alone
decides which of three classes a text has. After training, the words of each
test text are ranked by the gradient at the embedding's output; counted is how
often the planted word is the most salient one (of 30, by chance: 0.033), and
the area under the precision-recall curve of the ranking. The random-mask
control masks as many words, but picks them blindly.
"""

import argparse
import statistics

import common
import keras
import numpy as np
from keras import layers

import keras_sgt
from keras_sgt import attribution, evaluation, masking

VOCABULARY, LENGTH, PLANTED = 200, 30, (11, 57, 142)
TRAININGS = {"traditional": None, "guided": "absolute", "control": "random"}


def texts(n, rng):
    """Ids, labels, and where the planted words are."""
    ids = rng.integers(1, VOCABULARY, (n, LENGTH))
    ids[np.isin(ids, PLANTED)] = 1
    labels = np.arange(n) % len(PLANTED)
    ids[np.arange(n), rng.integers(LENGTH, size=n)] = np.take(PLANTED, labels)
    return ids.astype("int32"), labels.astype("int32"), np.isin(ids, PLANTED)


def network():
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, 16, name="words"),
            layers.Bidirectional(layers.LSTM(16)),
            layers.Dense(len(PLANTED)),
        ]
    )


def trained(ranking, ids, labels, seed, epochs):
    keras.utils.set_random_seed(seed)
    model = network()
    trainer = model
    if ranking is not None:
        trainer = keras_sgt.SaliencyGuidedModel(
            model, masking=masking.TokenMasking(ranking=ranking, seed=seed)
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.Adam(0.003), loss)
    trainer.fit(ids, labels, batch_size=50, epochs=epochs, verbose=0)
    return model


def measured(model, ids, labels, planted):
    found = abs(attribution.Gradient(model)(ids, labels, batch_size=250))
    predicted = model.predict(ids, verbose=0).argmax(1)
    top = planted[np.arange(len(ids)), found.argmax(1)]
    return {
        "accuracy": round(float((predicted == labels).mean()), 4),
        "planted_word_on_top": round(float(top.mean()), 4),
        "token_auprc": round(
            float(evaluation.token_auprc(found, planted).value), 4
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train-texts", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(5)])
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        rng = np.random.default_rng(seed)
        ids, labels, _ = texts(args.train_texts, rng)
        test = texts(1000, rng)
        for name, ranking in TRAININGS.items():
            model = trained(ranking, ids, labels, seed, args.epochs)
            rows.append({"training": name, "seed": seed})
            rows[-1].update(measured(model, *test))
            print(rows[-1], flush=True)
    summary = {
        name: {
            measure: round(
                statistics.mean(
                    r[measure] for r in rows if r["training"] == name
                ),
                4,
            )
            for measure in ("accuracy", "planted_word_on_top", "token_auprc")
        }
        for name in TRAININGS
    }
    print(summary)
    common.save(
        "planted_words", {**vars(args), "summary": summary, "rows": rows}
    )


if __name__ == "__main__":
    main()
