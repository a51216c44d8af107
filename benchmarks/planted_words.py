"""Do the words that decide a label rank highest? Guided training and plain.

    KERAS_BACKEND=torch python benchmarks/planted_words.py

Texts of 30 random words out of 200, three of which were planted: the label
says whether a text has one of them. After training, the words of each test
text are ranked by the gradient at the embedding's output; counted is how
often the most salient word of a text is a planted one, and the area under the
precision-recall curve of the ranking. The random-mask control masks as many
words, but picks them blindly.
"""

import argparse
import statistics

import common
import keras
import numpy as np
from keras import layers

import keras_sgt
from keras_sgt import evaluation, heads, masking

VOCABULARY, LENGTH, PLANTED = 200, 30, (11, 57, 142)
TRAININGS = {"traditional": None, "guided": "absolute", "control": "random"}


def texts(n, rng):
    """Ids, labels, and where the planted words are."""
    ids = rng.integers(1, VOCABULARY, (n, LENGTH))
    ids[np.isin(ids, PLANTED)] = 1
    labels = np.arange(n) % 2
    for row in np.flatnonzero(labels):
        places = rng.choice(LENGTH, 2, replace=False)
        ids[row, places] = rng.choice(PLANTED, 2)
    return ids.astype("int32"), labels.astype("int32"), np.isin(ids, PLANTED)


def network():
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, 16, name="words"),
            layers.Bidirectional(layers.LSTM(16)),
            layers.Dense(2),
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


def saliency(model, ids, labels):
    """The gradient of the label's logit at each word, summed over its axis."""
    ids, labels = keras.ops.array(ids), keras.ops.array(labels)

    def score(ids):
        outputs = model(ids, training=False)
        return heads.label_score(
            keras_sgt.divergences.CategoricalKL(from_logits=True),
            labels,
            outputs,
            logits_of=None,
        )

    ranked = masking.TokenMasking(padding=None).saliency(score, ids, model)
    return keras.ops.convert_to_numpy(ranked)


def measured(model, ids, labels, planted):
    found = saliency(model, ids, labels)
    outputs = model.predict(ids, verbose=0)
    has = labels == 1
    top = np.take_along_axis(planted, found.argmax(1)[:, None], axis=1)[:, 0]
    auprc = evaluation.token_auprc(list(found[has]), list(planted[has]))
    return {
        "accuracy": round(float((outputs.argmax(1) == labels).mean()), 4),
        "planted_word_on_top": round(float(top[has].mean()), 4),
        "token_auprc": round(float(auprc.value), 4),
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
