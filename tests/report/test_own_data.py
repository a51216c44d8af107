"""A user's own data, from files and tables to a page, as a user would do it.

Each story trains, compares with what `fit` took, saves the page, and opens it
in Chromium, where that is installed.
"""

import chromium
import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt.masking import FeatureMasking, TokenMasking

RNG = np.random.default_rng(0)
TENSORFLOW = keras.backend.backend() == "tensorflow"
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def shown(request, tmp_path):
    """Saves the page of a comparison; what it shows, as text."""

    def shown(result):
        path = tmp_path / "page.html"
        result.save(path)
        # Only now: the event loop of what drives it is no business of ours.
        browser = request.getfixturevalue("browser")
        with chromium.listening(browser) as opened:
            page = opened(path)
            return path.read_text() if page is None else page.content()

    return shown


def trained(network, loss, *data, **options):
    """A network as it began and guided for an epoch, and what Keras measures.

    The other training would tell nothing more, and takes its time.
    """
    keras.utils.set_random_seed(1)
    guided = keras_sgt.SaliencyGuidedModel(network(), **options)
    metrics = ["r2_score"] if loss == "mse" else ["accuracy"]
    guided.compile("adam", loss, metrics=metrics)
    history = guided.fit(*data, verbose=0).history
    assert np.isfinite([*history.values()]).all()
    measured = guided.evaluate(*data, verbose=0)[1]
    return {"traditional": network(), "guided": guided.model}, measured


def compared(models, *data, **options):
    return keras_sgt.compare(
        models, *data, methods=["gradient"], verbose=0, **options
    )


def quality(result):
    found = {
        row["model"]: row["value"]
        for row in result.rows
        if row["measure"] == result.quality
    }
    return pytest.approx(found["guided"], abs=1e-4)


class Batches(keras.utils.PyDataset):
    """Arrays or nests of them, as a user without `tf.data` would batch them."""

    def __init__(self, x, y, size=4):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return -(-len(self.y) // self.size)

    def __getitem__(self, i):
        part = slice(self.size * i, self.size * (i + 1))
        x = keras.tree.map_structure(lambda a: a[part], self.x)
        return x, self.y[part]


def kind_of_data_set():
    """What Keras's loaders are asked for: `tf.data` is TensorFlow's."""
    if not TENSORFLOW:
        pytest.importorskip("grain", reason="grain is not installed")
    return {"format": "tf" if TENSORFLOW else "grain"}


@pytest.mark.slow_to_compile
def test_a_folder_of_images(tmp_path, shown):
    pillow = pytest.importorskip("PIL.Image")
    for label, name in enumerate(("blue", "green", "red")):
        (tmp_path / name).mkdir()
        for i in range(4):
            image = RNG.integers(0, 90, (32, 32, 3))
            image[8:20, 8:20, 2 - label] = 240
            path = tmp_path / name / f"{i}.png"
            pillow.fromarray(image.astype("uint8")).save(path)
    data = keras.utils.image_dataset_from_directory(
        tmp_path,
        image_size=(32, 32),
        batch_size=4,
        verbose=False,
        **kind_of_data_set(),
    )

    def network():
        whole = keras.applications.MobileNet(
            input_shape=(32, 32, 3), alpha=0.25, weights=None
        )
        # Its first blocks: all of them would only take longer to compile.
        first = keras.Model(
            whole.input, whole.get_layer("conv_pw_3_relu").output
        )
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.Rescaling(1 / 127.5, offset=-1),
                first,
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, "softmax"),
            ]
        )

    models, measured = trained(network, "sparse_categorical_crossentropy", data)
    result = compared(models, data, measures=["accuracy_drop", "gini"])
    assert (result.domain, result.task) == ("images", "classification")
    assert measured == quality(result)
    assert '"green"' in shown(result)


SENTENCES = [
    f"{subject} was {judgement}{end}"
    for subject in ("The film", "A plot")
    for judgement in ("good", "really bad", "dull")
    for end in (".", ", they say.")
]
OPINIONS = np.array(["good" in text for text in SENTENCES]).astype("int32")


def reader(words, length):
    def network():
        return keras.Sequential(
            [
                keras.Input((length,), dtype="int32"),
                layers.Embedding(words, 4, mask_zero=True),
                layers.GlobalAveragePooling1D(),
                layers.Dense(2),
            ]
        )

    return network


@pytest.mark.skipif(not TENSORFLOW, reason="TextVectorization is TensorFlow's")
def test_text_through_text_vectorization(shown):
    import tensorflow as tf

    vectorize = layers.TextVectorization(output_sequence_length=7)
    vectorize.adapt(SENTENCES)
    data = tf.data.Dataset.from_tensor_slices((SENTENCES, OPINIONS)).batch(4)
    data = data.map(lambda texts, y: (vectorize(texts), y))
    network = reader(vectorize.vocabulary_size(), 7)
    models, measured = trained(network, LOGITS, data, masking=TokenMasking())
    result = compared(models, data, vocabulary=vectorize)
    assert (result.domain, result.task) == ("text", "classification")
    assert measured == quality(result)
    assert '"tokens": ["the", "film", "was", "good"' in shown(result)


def test_text_through_a_tokenizer_of_ones_own(shown):
    words = ["", *sorted({w for t in SENTENCES for w in t.split()})]
    ids = np.zeros((len(SENTENCES), 7), "int32")
    for row, text in zip(ids, SENTENCES):
        found = [words.index(word) for word in text.split()]
        row[: len(found)] = found
    data = Batches(ids, OPINIONS)
    network = reader(len(words), 7)
    models, measured = trained(network, LOGITS, data, masking=TokenMasking())
    result = compared(models, data, vocabulary=words)
    assert result.domain == "text"
    assert measured == quality(result)
    assert '"tokens": ["The", "film", "was", "good."' in shown(result)


@pytest.mark.slow_to_compile
def test_text_through_keras_hub(shown):
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    found = {w.strip(".,").lower() for t in SENTENCES for w in t.split()}
    tokenizer = hub.tokenizers.BertTokenizer(
        [*special, ".", ",", *sorted(found)], lowercase=True
    )
    preprocessor = hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=10
    )
    x = keras.tree.map_structure(
        keras.ops.convert_to_numpy, preprocessor(SENTENCES)
    )

    def network():
        backbone = hub.models.BertBackbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=16,
            max_sequence_length=10,
        )
        pooled = backbone.output["pooled_output"]
        return keras.Model(backbone.input, layers.Dense(2)(pooled))

    data = Batches(x, OPINIONS)
    masking = TokenMasking("token_embedding", replacement=4)
    models, measured = trained(network, LOGITS, data, masking=masking)
    result = compared(models, data, vocabulary=tokenizer)
    assert (result.domain, result.task) == ("text", "classification")
    assert measured == quality(result)
    assert '"tokens": ["[CLS]", "the", "film", "was", "good", "."' in (
        shown(result)
    )


def people():
    """A table with two numbers and a category."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "age": RNG.integers(18, 80, 24),
            "city": ["Oslo", "Rome", "Oslo"] * 8,
            "hours": RNG.normal(38, 5, 24),
        }
    )
    return frame, (frame["age"] > 40).to_numpy().astype("int32")


@pytest.mark.skipif(not TENSORFLOW, reason="FeatureSpace is TensorFlow's")
def test_a_table_through_a_feature_space(shown):
    import tensorflow as tf

    frame, y = people()
    space = keras.utils.FeatureSpace(
        {
            "age": "float_normalized",
            "city": "string_categorical",
            "hours": "float_normalized",
        },
        output_mode="concat",
    )
    raw = tf.data.Dataset.from_tensor_slices((dict(frame), y)).batch(8)
    space.adapt(raw.map(lambda x, y: x))
    data = raw.map(lambda x, y: (space(x), y))
    width = space.get_encoded_features().shape[-1]

    def network():
        return keras.Sequential([keras.Input((width,)), layers.Dense(2)])

    models, measured = trained(network, LOGITS, data)
    names = ["age", "unknown city", "Oslo", "Rome", "hours"]
    result = compared(models, data, feature_names=names)
    assert (result.domain, result.task) == ("table", "classification")
    assert measured == quality(result)
    assert '"unknown city"' in shown(result)


@pytest.mark.parametrize("given", ["frame", "batches"])
def test_a_table_of_columns(given, shown):
    frame, y = people()
    frame["city"] = frame["city"].astype("category").cat.codes
    trainable = frame.astype({"age": "float32"})  # an error says so
    columns = {name: trainable[name].to_numpy() for name in frame}
    data = {
        "frame": (dict(trainable), y),
        "batches": (Batches(columns, y),),
    }[given]

    def network():
        inputs = {
            "age": keras.Input((1,), name="age"),
            "city": keras.Input((1,), name="city", dtype="int32"),
            "hours": keras.Input((1,), name="hours"),
        }
        parts = [
            layers.Rescaling(1 / 80)(inputs["age"]),
            layers.Flatten()(layers.Embedding(2, 2)(inputs["city"])),
            layers.Rescaling(1 / 80)(inputs["hours"]),
        ]
        outputs = layers.Dense(2)(layers.Concatenate()(parts))
        return keras.Model(inputs, outputs)

    masking = FeatureMasking(inputs=["age", "hours"])
    models, measured = trained(network, LOGITS, *data, masking=masking)
    if given == "frame":
        data = frame, y
    result = compared(models, *data)
    assert (result.domain, result.task) == ("table", "classification")
    assert result.feature_names == ["age", "city", "hours"]
    assert measured == quality(result)
    assert result.part("guided", "gradient")["maps"].any(0).all()
    assert "age" in shown(result)


def test_windows_of_a_series(shown):
    time = np.arange(60)
    series = np.stack([np.sin(time / 3), np.cos(time / 5), RNG.normal(size=60)])
    series = series.T.astype("float32")
    data = keras.utils.timeseries_dataset_from_array(
        series[:-8],
        series[8:, 0],
        sequence_length=8,
        batch_size=8,
        **kind_of_data_set(),
    )

    def network():
        return keras.Sequential(
            [
                keras.Input((8, 3)),
                layers.Conv1D(4, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )

    models, measured = trained(network, "mse", data)
    result = compared(models, data, feature_names=["sin", "cos", "noise"])
    assert (result.domain, result.task) == ("series", "regression")
    assert measured == quality(result)
    assert "noise" in shown(result)
