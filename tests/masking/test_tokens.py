"""TokenMasking against a model whose gradients are known in closed form."""

import keras
import numpy as np
import pandas
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.masking import Previous, RandomToken, TokenMasking

VOCABULARY, WIDTH, CLASSES, LENGTH = 30, 5, 3, 12


@pytest.fixture
def texts():
    """Ids from 1 up, padded with 0 to 12; one text has a single token.

    No id is twice in a text, where its gradients would tie.
    """
    rng = np.random.default_rng(0)
    ids = rng.permuted(np.tile(np.arange(1, 20), (10, 1)), axis=1)[:, :LENGTH]
    for row, length in zip(ids, [12, 11, 9, 7, 6, 5, 4, 3, 2, 1]):
        row[length:] = 0
    return ids.astype("int32"), (np.arange(10) % CLASSES).astype("int32")


def bag_of_words(subclassed=False):
    """Logit c: the mean over real tokens of Σ_d e_d² w_dc."""
    stack = [
        layers.Embedding(VOCABULARY, WIDTH, mask_zero=True, name="words"),
        layers.Activation(ops.square),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES, use_bias=False),
    ]
    if not subclassed:
        return keras.Sequential([keras.Input((None,), dtype="int32"), *stack])

    class Words(keras.Model):
        def __init__(self):
            super().__init__()
            self.stack = stack

        def call(self, ids):
            x = ids
            for layer in self.stack:
                x = layer(x)
            return x

    return Words()


def saliency_by_hand(model, ids, y):
    """The gradient for e_td is 2 e_td w_dc / n."""
    table, weights = (ops.convert_to_numpy(w) for w in model.weights)
    n = (ids != 0).sum(1)[:, None, None]
    return 2 * table[ids] * weights.T[y][:, None, :] / n


def masked_by_hand(ids, saliency, fraction, special=()):
    """One text at a time, as the paper's words have it."""
    result, mask = ids.copy(), np.zeros(ids.shape, bool)
    for row, (text, values) in enumerate(zip(ids, saliency)):
        real = [t for t, i in enumerate(text) if i not in (0, *special)]
        k = int(fraction * len(real))
        gone = sorted(real, key=lambda t: values[t])[:k]
        kept = [t for t in real if t not in gone]
        for t in gone if kept else ():
            before = [s for s in kept if s < t]
            result[row, t] = text[before[-1] if before else kept[0]]
        mask[row, gone] = True
    return result, mask


def guided(model, **options):
    model = keras_sgt.SaliencyGuidedModel(
        model, masking=TokenMasking(**options), mask_fraction=0.5
    )
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


@pytest.mark.parametrize("subclassed", [False, True])
@pytest.mark.parametrize("pooling", ["sum", "l2", "mean"])
def test_masked_ids_equal_a_hand_computation(texts, subclassed, pooling):
    ids, y = texts
    model = bag_of_words(subclassed)
    model(ids)
    gradient = saliency_by_hand(model, ids, y)
    pooled = {
        "sum": gradient.sum(-1),
        "mean": gradient.mean(-1),
        "l2": np.sqrt((gradient**2).sum(-1)),
    }[pooling]
    expected, mask = masked_by_hand(ids, np.abs(pooled), 0.5)
    found = guided(model, pooling=pooling).mask_on_batch(ids, y)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[ids == 0], 0)
    marked = guided(model, pooling=pooling, replacement=VOCABULARY - 1)
    marked = marked.mask_on_batch(ids, y)
    np.testing.assert_array_equal(marked, np.where(mask, VOCABULARY - 1, ids))


@pytest.mark.parametrize("ranking", ["signed", "reversed"])
def test_rankings_and_special_tokens(texts, ranking):
    ids, y = texts
    special = (int(ids[0, 0]), int(ids[1, 3]))
    model = bag_of_words()
    pooled = saliency_by_hand(model, ids, y).sum(-1)
    if ranking == "reversed":
        pooled = -pooled
    expected, _ = masked_by_hand(ids, pooled, 0.5, special)
    found = guided(model, ranking=ranking, special_ids=special)
    np.testing.assert_array_equal(found.mask_on_batch(ids, y), expected)


def test_random_ranking_and_random_ids(texts):
    ids, y = texts
    model = guided(
        bag_of_words(),
        ranking="random",
        replacement=RandomToken(high=VOCABULARY, low=20),
        seed=0,
    )
    found = model.mask_on_batch(ids, y)
    changed = found != ids
    np.testing.assert_array_equal(changed.sum(1), (ids != 0).sum(1) // 2)
    assert (found[changed] >= 20).all()
    assert not changed[ids == 0].any()


def test_previous_spreads_forwards_then_back():
    ids = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
    mask = np.array([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    saliency = np.zeros((2, 6), "float32")
    spread = Previous().call(*(ops.array(a) for a in (ids, mask, saliency)))
    np.testing.assert_array_equal(
        np.where(mask, ops.convert_to_numpy(spread), ids),
        [[2, 2, 2, 2, 5, 5], [1, 2, 3, 4, 5, 6]],
    )


def test_padding_mask_of_a_dict_input(texts):
    ids, y = texts
    inputs = {
        "padding_mask": keras.Input((LENGTH,), dtype="bool"),
        "token_ids": keras.Input((LENGTH,), dtype="int32"),
    }
    embedded = layers.Embedding(VOCABULARY, WIDTH)(inputs["token_ids"])
    embedded *= ops.cast(inputs["padding_mask"], "float32")[..., None]
    outputs = layers.Dense(CLASSES)(layers.Flatten()(ops.tanh(embedded)))
    model = guided(keras.Model(inputs, outputs))
    real = np.arange(LENGTH) < np.array([[12, 10, 8, 6, 4, 2, 1, 0, 3, 5]]).T
    found = model.mask_on_batch({"token_ids": ids, "padding_mask": real}, y)
    np.testing.assert_array_equal(found["padding_mask"], real)
    np.testing.assert_array_equal(found["token_ids"][~real], ids[~real])


@pytest.mark.parametrize("network", ["LSTM", "attention"])
def test_fit_and_reload(texts, network, tmp_path):
    ids, y = texts
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(inputs)
    if network == "LSTM":
        x = layers.Bidirectional(layers.LSTM(4))(x)
    else:
        x = layers.MultiHeadAttention(2, 4)(x, x)
        x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(CLASSES)(x))
    trained = guided(model)
    history = trained.fit(
        ids, y, batch_size=5, epochs=2, verbose=0, validation_data=(ids, y)
    ).history
    assert min(history["divergence"]) > 0
    trained.save(tmp_path / "text.keras")
    restored = keras.models.load_model(tmp_path / "text.keras")
    np.testing.assert_array_equal(
        restored.mask_on_batch(ids, y), trained.mask_on_batch(ids, y)
    )


class Positions(layers.Layer):
    """An embedding of tokens and positions that leaves its shape to Keras."""

    def __init__(self):
        super().__init__(name="both")
        self.words = layers.Embedding(VOCABULARY, WIDTH, mask_zero=True)

    def call(self, ids):
        return self.words(ids) + 0.1


def test_a_layer_that_holds_the_embedding(texts):
    """What it knows of padding and of the vocabulary counts."""
    ids, y = texts
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            Positions(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES),
        ]
    )
    marked = guided(model, layer="both", replacement=29)
    masked = marked.mask_on_batch(ids, y)
    np.testing.assert_array_equal((masked == 29).sum(1), (ids != 0).sum(1) // 2)
    assert marked.train_on_batch(ids, y, return_dict=True)["divergence"] > 0
    with pytest.raises(ValueError, match="0 to 29"):
        marked.mask_on_batch(ids + 20, y)
    with pytest.raises(ValueError, match="vocabulary"):
        guided(model, layer="both", replacement=30)


def test_a_model_that_the_first_step_builds(texts):
    unbuilt = keras.Sequential(
        [
            layers.Embedding(VOCABULARY, WIDTH, "normal", mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES),
        ]
    )
    logs = guided(unbuilt).fit(*texts, verbose=0).history
    assert logs["divergence"][0] > 0


class TestBadInput:
    def test_an_embedding_of_two_texts(self, texts):
        ids, y = texts
        inputs = [keras.Input((LENGTH,), dtype="int32") for _ in range(2)]
        shared = layers.Embedding(VOCABULARY, WIDTH)
        pooled = [layers.GlobalAveragePooling1D()(shared(i)) for i in inputs]
        outputs = layers.Dense(CLASSES)(layers.concatenate(pooled))
        model = keras.Model(inputs, outputs)
        two = guided(model, inputs=0)
        with pytest.raises(ValueError, match="more than once"):
            two.train_on_batch([ids, ids], y)

    @pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="text is for TensorFlow",
    )
    def test_texts_that_are_no_ids_yet(self):
        import tensorflow as tf

        to_ids = layers.TextVectorization(output_sequence_length=4)
        to_ids.adapt(["a b c d"])
        model = keras.Sequential(
            [
                keras.Input((), dtype="string"),
                to_ids,
                layers.Embedding(9, WIDTH),
                layers.GlobalAveragePooling1D(),
                layers.Dense(CLASSES),
            ]
        )
        strings = guided(model)
        with pytest.raises(ValueError, match="strings"):
            strings.train_on_batch(tf.constant(["a b", "c"]), np.array([0, 1]))

    def test_ids_outside_of_the_vocabulary_beside_labels_of_a_frame(self):
        labels = pandas.Series(np.arange(8) % CLASSES)
        ids = np.full((8, 4), VOCABULARY)
        with pytest.raises(ValueError, match=f"to {VOCABULARY - 1}"):
            guided(bag_of_words()).fit(ids, labels, verbose=0)

    def test_no_embedding_or_several(self):
        with pytest.raises(ValueError, match=r"layers: \[\]"):
            guided(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
        inputs = keras.Input((4,), dtype="int32")
        one = layers.Embedding(9, 2, name="one")(inputs)
        two = layers.Embedding(9, 2, name="two")(inputs)
        outputs = layers.Dense(3)(layers.Flatten()(one + two))
        model = keras.Model(inputs, outputs)
        with pytest.raises(ValueError, match=r"\['one', 'two'\]"):
            guided(model)
        with pytest.raises(ValueError, match="layer='three'"):
            guided(model, layer="three")
        guided(model, layer="two")
        guided(model, layer=model.get_layer("one"))

    @pytest.mark.parametrize("told", ["at compile", "at the first batch"])
    def test_a_layer_of_another_input(self, told):
        """Both texts have one shape: gradients would be of the other."""
        title = keras.Input((6,), dtype="int32", name="title")
        body = keras.Input((6,), dtype="int32", name="body")
        vectors = [
            layers.Conv1D(2, 2)(layers.Embedding(9, 3, name=name)(ids))
            for name, ids in (("of_title", title), ("of_body", body))
        ]
        outputs = layers.Flatten()(layers.Concatenate()(vectors))
        outputs = layers.Dense(CLASSES)(outputs)
        model = keras.Model({"title": title, "body": body}, outputs)
        if told == "at the first batch":  # what a functional model tells

            class Both(keras.Model):
                def __init__(self):
                    super().__init__()
                    self.both = model

                def call(self, x):
                    return self.both(x)

            model = Both()
        rng = np.random.default_rng(0)
        x = {k: rng.integers(1, 9, (8, 6)) for k in ("title", "body")}
        y = np.arange(8) % CLASSES
        guided(model, layer="of_title", inputs="title").fit(x, y, verbose=0)
        with pytest.raises(ValueError, match="receives the input 'body'"):
            guided(model, layer="of_body", inputs="title").fit(x, y, verbose=0)

    def test_a_layer_that_embeds_another_input_in_the_next_model(self):
        words = layers.Embedding(9, 3, name="words")
        others = layers.Embedding(9, 3, name="others")

        def model(*embeddings):
            texts = [keras.Input((6,), dtype="int32") for _ in embeddings]
            vectors = [
                layers.GlobalMaxPooling1D()(embedding(ids))
                for embedding, ids in zip(embeddings, texts)
            ]
            outputs = layers.Dense(CLASSES)(layers.Concatenate()(vectors))
            return keras.Model(texts, outputs)

        masking = TokenMasking(layer="words", inputs=0)
        one, other = (
            keras_sgt.SaliencyGuidedModel(model(*pair), masking=masking)
            for pair in ((words, others), (others, words))
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        one.compile("sgd", loss)
        with pytest.raises(ValueError, match="receives the input '1'"):
            other.compile("sgd", loss)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ranking": "largest"}, "ranking='largest'"),
            ({"pooling": "max"}, "pooling='max'"),
            ({"padding": "zero"}, "padding='zero'"),
            ({"replacement": "mean"}, "RandomToken"),
            ({"replacement": -1}, "replacement=-1"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            TokenMasking(**options)
        with pytest.raises(ValueError, match="high=0"):
            RandomToken(0)

    def test_only_padding(self):
        ids = np.zeros((2, LENGTH), "int32")
        y = np.zeros(2, "int32")
        model = guided(bag_of_words())
        np.testing.assert_array_equal(model.mask_on_batch(ids, y), ids)

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"special_ids": [2, 30]}, "special_ids"),
            ({"padding": 30}, "padding"),
            ({"replacement": 30}, "replacement"),
            ({"replacement": RandomToken(31)}, "replacement"),
        ],
    )
    def test_settings_outside_the_vocabulary(self, options, argument):
        with pytest.raises(ValueError, match=rf"`{argument}`.*0 to 29.*\[30\]"):
            guided(bag_of_words(), **options)

    @pytest.mark.parametrize("outside", [-1, VOCABULARY])
    def test_ids_outside_the_vocabulary(self, texts, outside):
        ids, y = texts
        ids[3, 2] = outside
        model = guided(bag_of_words())
        with pytest.raises(ValueError, match=f"0 to 29.*{outside}"):
            model.mask_on_batch(ids, y)
        model.run_eagerly = True
        with pytest.raises(ValueError, match=f"0 to 29.*{outside}"):
            model.train_on_batch(ids, y)

    def test_padding_mask_of_another_shape(self, texts):
        ids, _ = texts
        masking = TokenMasking()
        inputs = {"token_ids": ids, "padding_mask": ids[:, 1:] > 0}
        model = bag_of_words()
        with pytest.raises(ValueError, match=r"'padding_mask'.*\(10, 11\)"):
            masking.saliency(None, inputs, model)

    def test_unknown_input(self, texts):
        ids, y = texts
        with pytest.raises(ValueError, match="inputs='words'"):
            guided(bag_of_words(), inputs="words").mask_on_batch(ids, y)
