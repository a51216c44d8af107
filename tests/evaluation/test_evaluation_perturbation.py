"""Accuracy drop, deletion, insertion, retraining.

The comparison with Quantus runs where Quantus and PyTorch are installed.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Images, Predicts, linear, softmax

from keras_sgt import evaluation
from keras_sgt.evaluation import perturbation

LEVELS = np.arange(1, 10) / 10


def fill_by_hand(name, image):
    """What replaces the pixels of one image, `(height, width, channels)`."""
    if name == "background":
        return np.broadcast_to(image[0, 0], image.shape)
    if name == "mean":
        return np.broadcast_to(image.mean((0, 1)), image.shape)
    return np.full(image.shape, name)


def replace_by_hand(image, attribution, share, values):
    """One image without its top pixels, pixel by pixel."""
    pixels = [
        (-abs(attribution[i, j].mean()), i, j)
        for i in range(image.shape[0])
        for j in range(image.shape[1])
    ]
    changed = image.copy()
    for _, i, j in sorted(pixels)[: int(share * len(pixels) + 1e-9)]:
        changed[i, j] = values[i, j]
    return changed


@pytest.mark.parametrize("chunk", [1, 2**26])
@pytest.mark.parametrize("fill", ["background", "mean", 0.5])
def test_accuracy_drop_is_that_of_a_plain_loop(fill, chunk, monkeypatch):
    monkeypatch.setattr(perturbation, "_CHUNK_BYTES", chunk)
    given = Images()
    found = evaluation.accuracy_drop(
        given.keras(),
        given.x,
        given.y,
        given.attributions,
        fill=fill,
        batch_size=5,
    )
    curve = []
    for share in [0, *LEVELS]:
        images = [
            replace_by_hand(x, a, share, fill_by_hand(fill, x))
            for x, a in zip(given.x, given.attributions)
        ]
        predicted = given.probabilities(images).argmax(1)
        curve.append(np.mean(predicted == given.y))
    assert len(set(curve)) > 2
    np.testing.assert_allclose(found.curve, curve, atol=1e-12)
    area = 0.1 * (sum(curve) - (curve[0] + curve[-1]) / 2)
    np.testing.assert_allclose(found.value, area, atol=1e-12)
    np.testing.assert_allclose(found.per_sample.mean(), area, atol=1e-12)
    np.testing.assert_allclose(found.levels, [0, *LEVELS])


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("measure", ["deletion", "insertion"])
def test_probability_curves_are_those_of_a_plain_loop(measure, from_logits):
    given = Images(None if from_logits else "softmax")
    levels = [0.25, 0.5, 0.75]
    found = getattr(evaluation, measure)(
        given.keras(),
        given.x,
        np.abs(given.attributions.mean(-1, keepdims=True))
        * np.ones(given.x.shape),
        fill=0.0,
        levels=levels,
        from_logits=from_logits,
    )
    predicted = given.probabilities(given.x).argmax(1)
    expected = []
    for share in [0, *levels, 1]:
        images = [
            replace_by_hand(x, a, share, np.zeros(x.shape))
            for x, a in zip(given.x, given.attributions)
        ]
        if measure == "insertion":
            images = given.x - np.array(images)
        p = given.probabilities(images)
        expected.append(p[np.arange(len(p)), predicted])
    np.testing.assert_allclose(
        found.curve, np.mean(expected, axis=1), atol=1e-5
    )
    areas = np.trapezoid(expected, [0, *levels, 1], axis=0)
    np.testing.assert_allclose(found.per_sample, areas, atol=1e-5)
    np.testing.assert_allclose(found.value, areas.mean(), atol=1e-5)


@pytest.mark.parametrize(
    ("room", "samples"), [(10, [500]), (3, [150, 150, 150, 50]), (1, [50] * 10)]
)
def test_as_many_levels_a_prediction_as_there_is_room_for(
    room, samples, monkeypatch
):
    model = Predicts(lambda x: x[:, :2])
    x = np.random.default_rng(0).random((50, 20))
    monkeypatch.setattr(perturbation, "_CHUNK_BYTES", room * x.nbytes)
    evaluation.accuracy_drop(model, x, np.zeros(50, int), x, batch_size=50)
    assert [len(call) for call in model.calls] == samples


def seen(model, samples):
    """All that a model was to predict, so many samples at a time."""
    inputs = np.concatenate(model.calls)
    return inputs.reshape(-1, samples, *inputs.shape[1:])


def test_inputs_are_left_alone():
    x = np.random.default_rng(0).random((5, 4))
    before = x.copy()
    evaluation.accuracy_drop(
        Predicts(lambda x: x), x, np.zeros(5, int), x, fill=9.0
    )
    np.testing.assert_array_equal(x, before)


def filled(fill, x, **options):
    """The inputs with everything but the last-ranked feature filled."""
    model = Predicts(lambda x: np.ones((len(x), 2)) / 2)
    level = 1 - 1.5 / x[0].size
    evaluation.deletion(
        model, x, np.zeros(x.shape), fill=fill, levels=[level], **options
    )
    return seen(model, len(x))[-1]


def test_uniform_fill_stays_in_the_range_of_each_channel():
    rng = np.random.default_rng(0)
    x = rng.random((8, 12, 2)) * [1.0, 100.0] + [5.0, 0.0]
    values = filled("uniform", x)
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    assert ((values >= low) & (values <= high)).all()
    assert len(np.unique(values)) == values.size
    spread = ((values - low) / (high - low)).std((0, 1))
    np.testing.assert_allclose(spread, 1 / np.sqrt(12), atol=0.05)


def test_uniform_and_mean_fill_of_a_table_are_of_the_column():
    x = np.random.default_rng(0).random((40, 3)) * [1.0, 10.0, 100.0]
    values = filled("uniform", x)
    assert ((values >= x.min(0)) & (values <= x.max(0))).all()
    assert (values.max(0) > x.max(0) / 2).all()
    means = filled("mean", x)
    np.testing.assert_allclose(means, np.tile(x.mean(0), (40, 1)))


@pytest.mark.parametrize("samples", [2, 3, 10])
def test_sample_fill_is_that_of_another_sample(samples):
    x = np.arange(samples)[:, None] * np.ones(6)
    values = filled("sample", x)
    assert (values == values[:, :1]).all()
    assert (values[:, 0] != np.arange(samples)).all()
    assert sorted(values[:, 0]) == list(range(samples))


def test_blur_fill():
    x = np.zeros((1, 16, 16, 1))
    x[0, 8, 8] = 1.0
    values = filled("blur", x)[0, :, :, 0]
    # A Gaussian of two pixels, in each direction for itself.
    weights = np.exp(-((np.arange(16)[:, None] - np.arange(16)) ** 2) / 8)
    weights /= weights.sum(1, keepdims=True)
    np.testing.assert_allclose(
        values, weights[:, 8][:, None] * weights[:, 8], atol=1e-12
    )
    flat = np.full((1, 9, 5, 2), 3.0)
    np.testing.assert_allclose(filled("blur", flat), flat)


def test_fill_of_ones_own():
    x = np.random.default_rng(0).random((4, 6))
    values = filled(lambda x: -x, x)
    np.testing.assert_array_equal(values, -x)


def test_ties_go_by_position():
    x = np.ones((1, 4))
    model = Predicts(lambda x: softmax(x[:, :2]))
    evaluation.deletion(model, x, np.zeros((1, 4)), levels=[0.25, 0.5])
    calls = [call[0].tolist() for call in seen(model, 1)[1:]]
    assert calls == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_signed_and_absolute_ranking():
    x = np.ones((1, 3))
    attributions = np.array([[-3.0, 2.0, 1.0]])
    first = {}
    for ranking in ("signed", "absolute"):
        model = Predicts(lambda x: softmax(x))
        evaluation.deletion(
            model, x, attributions, levels=[0.34], ranking=ranking
        )
        first[ranking] = int(seen(model, 1)[2].argmin())
    assert first == {"signed": 1, "absolute": 0}


@pytest.mark.parametrize(
    ("channel_axis", "expected"),
    [(None, [1, 0, 1, 1]), (2, [0, 0, 1, 1]), (1, [1, 0, 1, 0])],
)
def test_channel_axis(channel_axis, expected):
    """Entries, whole steps, or whole channels share a rank."""
    x = np.ones((1, 2, 2))
    attributions = np.array([[[0.0, 5.0], [2.0, 2.0]]])
    model = Predicts(lambda x: np.ones((len(x), 2)) / 2)
    level = 0.3 if channel_axis is None else 0.5
    evaluation.deletion(
        model, x, attributions, levels=[level], channel_axis=channel_axis
    )
    assert seen(model, 1)[2].ravel().tolist() == expected


SEEDS = st.integers(0, 2**32 - 1)


def relevant_first(seed):
    """A task whose label depends on the first 4 of 16 features alone."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 16))
    weights = np.zeros((16, 2))
    weights[:4, 1] = 1
    y = (x @ weights).argmax(1)
    perfect = np.abs(x * weights.sum(1))
    return x, y, weights, perfect, rng


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_perfect_beats_random_beats_reversed(seed):
    x, y, weights, perfect, rng = relevant_first(seed)
    model = Predicts(lambda x: softmax(x @ weights * 3))
    maps = perfect, rng.random(x.shape), -perfect
    drops, deletions, insertions = (
        [
            measure(model, *y_, attribution, ranking="signed", fill=0.0).value
            for attribution in maps
        ]
        for measure, y_ in (
            (evaluation.accuracy_drop, (x, y)),
            (evaluation.deletion, (x,)),
            (evaluation.insertion, (x,)),
        )
    )
    assert drops[0] < drops[1] < drops[2]
    assert deletions[0] < deletions[1] < deletions[2]
    assert insertions[0] > insertions[1] > insertions[2]


@pytest.mark.parametrize("measure", ["accuracy_drop", "deletion", "insertion"])
@given(seed=SEEDS, fill=st.sampled_from(["background", "mean", 0.0, -2.0]))
@settings(max_examples=20, deadline=None)
def test_order_of_samples_bounds_and_clean_end(measure, seed, fill):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 5, 2)).round(1)
    attributions = rng.normal(size=x.shape).round(1)
    y = rng.integers(0, 3, 12)
    weights = rng.normal(size=(10, 3))

    def answer(x):
        return softmax(x.reshape(len(x), -1) @ weights)

    def measured(order):
        labels = (y[order],) if measure == "accuracy_drop" else ()
        return getattr(evaluation, measure)(
            Predicts(answer), x[order], *labels, attributions[order], fill=fill
        )

    found = measured(np.arange(12))
    order = rng.permutation(12)
    permuted = measured(order)
    np.testing.assert_allclose(permuted.value, found.value, atol=1e-12)
    np.testing.assert_allclose(permuted.curve, found.curve, atol=1e-12)
    np.testing.assert_allclose(
        permuted.per_sample, found.per_sample[order], atol=1e-12
    )
    p = answer(x)
    if measure == "accuracy_drop":
        assert found.curve[0] == np.mean(p.argmax(1) == y)
        assert 0 <= found.value <= 0.9
    else:
        end = {"deletion": 0, "insertion": -1}[measure]
        np.testing.assert_allclose(found.curve[end], p.max(1).mean())
        assert 0 <= found.value <= 1
    assert ((found.curve >= 0) & (found.curve <= 1)).all()


def test_single_unit_is_two_classes():
    x = np.array([[2.0, 0.0], [-2.0, 0.0], [3.0, 1.0]])
    y = [1, 0, 0]
    options = dict(attributions=x, fill=0.0, levels=[0.5])
    logit = linear([[1.0], [0.0]])
    found = evaluation.accuracy_drop(logit, x, y, from_logits=True, **options)
    # Without the first feature p is 1/2, which counts for class 0.
    np.testing.assert_allclose(found.curve, [2 / 3, 2 / 3])
    assert found.per_sample.tolist() == [0.25, 0.5, 0.25]
    sigmoid = linear([[1.0], [0.0]], "sigmoid")
    found = evaluation.deletion(sigmoid, x, ranking="absolute", **options)
    clean = np.mean([1 / (1 + np.exp(-abs(v))) for v in x[:, 0]])
    np.testing.assert_allclose(found.curve, [clean, 0.5, 0.5], atol=1e-6)


def test_one_hot_labels():
    x = np.eye(3)
    found = evaluation.accuracy_drop(
        Predicts(lambda x: x), x, np.eye(3), x, fill=0.0, levels=[0.5]
    )
    np.testing.assert_allclose(found.curve, [1, 1 / 3])


class NearestMean(Predicts):
    """Learns the mean of each class; no randomness, no backend."""

    def __init__(self):
        super().__init__(lambda x: -((x[:, None] - self.means) ** 2).sum(2))

    def fit(self, x, y, batch_size=None, epochs=1):
        self.means = np.array([x[y == c].mean(0) for c in (0, 1)])


def test_remove_and_retrain():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 8))
    x[:, 0] += 6 * y
    train, test = (x[:100], y[:100]), (x[100:], y[100:])
    perfect = np.zeros(x.shape)
    perfect[:, 0] = 1

    def retrained(attributions, **options):
        return evaluation.remove_and_retrain(
            NearestMean,
            train,
            test,
            attributions[:100],
            attributions[100:],
            levels=[0.125, 0.5],
            epochs=1,
            **options,
        )

    found = retrained(perfect)
    # The column's mean tells nothing of the class: chance from then on.
    means = np.array([train[0][train[1] == c].mean(0) for c in (0, 1)])
    nearest = ((test[0][:, None] - means) ** 2).sum(2).argmin(1)
    assert found.curve[0] == np.mean(nearest == test[1]) > 0.95
    assert (abs(found.curve[1:] - 0.5) < 0.2).all()
    assert retrained(-perfect, ranking="signed").curve.min() > 0.95
    assert found.per_sample.shape == (100,)
    np.testing.assert_allclose(found.per_sample.mean(), found.value)
    assert found.spread is None
    assert retrained(perfect, repeats=2).spread == 0


def test_remove_and_retrain_a_keras_model():
    rng = np.random.default_rng(0)
    y = np.arange(128) % 2
    x = rng.normal(size=(128, 4)).astype("float32")
    x[:, 2] += 8 * y - 4
    relevant = np.tile([0.0, 0.0, 1.0, 0.0], (128, 1))

    def build_model():
        model = keras.Sequential([keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.1), loss)
        return model

    found = evaluation.remove_and_retrain(
        build_model,
        (x, y),
        (x, y),
        relevant,
        relevant,
        levels=[0.25],
        batch_size=32,
        epochs=8,
        verbose=0,
    )
    assert found.curve[0] > 0.97
    assert found.curve[1] < 0.75


def test_remove_and_retrain_takes_labels_as_the_loss_does():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 4)).astype("float32"), rng.integers(0, 3, 48)

    def retrained(loss, labels):
        def build_model():
            keras.utils.set_random_seed(1)
            model = keras.Sequential([keras.layers.Dense(3, "softmax")])
            model.compile("adam", loss)
            return model

        return evaluation.remove_and_retrain(
            build_model,
            (x, labels),
            (x, labels),
            abs(x),
            abs(x),
            levels=[0.25],
            verbose=0,
        )

    numbers = retrained("sparse_categorical_crossentropy", y)
    one_hot = retrained("categorical_crossentropy", np.eye(3)[y])
    np.testing.assert_array_equal(one_hot.per_sample, numbers.per_sample)
    np.testing.assert_array_equal(one_hot.curve, numbers.curve)
    # At level 0 it is plain training.
    keras.utils.set_random_seed(1)
    plain = keras.Sequential([keras.layers.Dense(3, "softmax")])
    plain.compile("adam", "categorical_crossentropy")
    plain.fit(x, np.eye(3)[y], batch_size=256, verbose=0)
    correct = plain.predict(x, verbose=0).argmax(1) == y
    assert one_hot.curve[0] == correct.mean()


X = np.random.default_rng(0).random((4, 6, 6, 1))
Y = [0, 1, 2, 0]
WITH_NAN = np.where(np.arange(36).reshape(6, 6, 1) == 3, np.nan, X)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attributions": X[:, :5]}, "shape of `x`"),
        ({"attributions": X[..., 0]}, "shape of `x`"),
        ({"attributions": WITH_NAN}, "`attributions` has to be finite"),
        ({"x": WITH_NAN}, "`x` has to be finite"),
        ({"x": X[:0], "attributions": X[:0]}, "not empty"),
        ({"x": [X, X]}, "4, 6, 6, 1"),
        ({"x": {"a": X}}, "array of numbers"),
        ({"levels": [0.0, 0.5]}, "between 0 and 1"),
        ({"levels": [0.5, 1.0]}, "between 0 and 1"),
        ({"levels": [10, 20]}, "between 0 and 1"),
        ({"levels": [-0.1]}, "between 0 and 1"),
        ({"levels": [0.5, 0.2]}, "increasing"),
        ({"levels": []}, "levels"),
        ({"levels": [np.nan]}, "levels"),
        ({"fill": "noise"}, "`fill` has to be one of"),
        ({"fill": np.nan}, "`fill`"),
        ({"fill": lambda x: x[:, :5]}, "`fill` has to return values that"),
        ({"fill": lambda x: x * np.nan}, "`fill` has to return finite"),
        ({"ranking": "best"}, "`ranking`"),
        ({"channel_axis": 0}, "`channel_axis`"),
        ({"channel_axis": 4}, "`channel_axis`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"y": [0, 1, 2]}, "`y`"),
        ({"y": [0.5, 1, 2, 0]}, "`y`"),
        ({"y": [-1, 1, 2, 0]}, "`y`"),
    ],
)
def test_bad_input_to_accuracy_drop(changed, message):
    model = Predicts(lambda x: np.ones((len(x), 3)))
    arguments = {"x": X, "y": Y, "attributions": X, **changed}
    with pytest.raises(ValueError, match=message):
        evaluation.accuracy_drop(model, **arguments)
    assert not model.calls  # before the work starts


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: np.ones((len(x), 2)), "classes below 2"),
        (lambda x: np.ones((len(x), 2, 2)), "one output for each class"),
        (lambda x: [np.ones((len(x), 2))] * 2, "one output for each class"),
        (lambda x: np.full((len(x), 3), np.nan), "NaN"),
        (lambda x: np.full((len(x), 1), 7.0), "from_logits=True"),
    ],
)
def test_models_without_class_outputs(answer, message):
    with pytest.raises(ValueError, match=message):
        evaluation.accuracy_drop(Predicts(answer), X, Y, X)


def test_a_keras_model_without_class_outputs_is_found_before_predicting():
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3)]
    )
    with pytest.raises(ValueError, match=r"None, 4, 4, 2"):
        evaluation.accuracy_drop(model, X, Y, X)
    with pytest.raises(ValueError, match="`predict"):
        evaluation.accuracy_drop(lambda x: x, X, Y, X)


@pytest.mark.parametrize("measure", ["deletion", "insertion"])
def test_outputs_that_are_no_probabilities(measure):
    model = Predicts(lambda x: np.arange(3.0) + np.zeros((len(x), 1)))
    with pytest.raises(ValueError, match="from_logits=True"):
        getattr(evaluation, measure)(model, X, X)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": [0, 1, 2, 5]}, "classes below 3"),
        ({"target": [0, 1]}, "`target`"),
        ({"levels": [0.5, 1]}, "between 0 and 1"),
        ({"attributions": WITH_NAN}, "finite"),
        ({"attributions": X[:2]}, "shape of `x`"),
    ],
)
def test_bad_input_to_deletion(changed, message):
    model = Predicts(lambda x: np.ones((len(x), 3)) / 3)
    with pytest.raises(ValueError, match=message):
        evaluation.deletion(model, **{"x": X, "attributions": X, **changed})


def test_fills_that_inputs_do_not_allow():
    table = np.ones((3, 4))
    model = Predicts(lambda x: np.ones((len(x), 3)) / 3)
    with pytest.raises(ValueError, match="neighbours"):
        evaluation.insertion(model, table, table)
    with pytest.raises(ValueError, match="another sample"):
        evaluation.deletion(model, table[:1], table[:1], fill="sample")


@pytest.mark.parametrize("fill", ["mean", "uniform", 0.5, 300, -1])
def test_integers_are_not_filled_with_what_they_cannot_hold(fill):
    whole = np.random.default_rng(0).integers(0, 255, (6, 5)).astype("uint8")
    maps = np.ones((6, 5))
    model = Predicts(lambda x: softmax(x[:, :3] / 255))
    with pytest.raises(ValueError, match="dtype uint8 cannot hold"):
        evaluation.deletion(model, whole, maps, fill=fill)
    for allowed in (0, 255, "background", "sample"):
        evaluation.deletion(model, whole, maps, fill=allowed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_attributions": X[:2]}, "`train_attributions`"),
        ({"test_attributions": WITH_NAN}, "`test_attributions`"),
        ({"build_model": "resnet"}, "`build_model`"),
        ({"levels": [1.5]}, "`levels`"),
        ({"repeats": 0}, "`repeats`"),
        ({"train": (X, [0, 1])}, "`y`"),
    ],
)
def test_bad_input_to_remove_and_retrain(changed, message):
    def build_model():
        raise AssertionError("the work has started")

    arguments = {
        "build_model": build_model,
        "train": (X, Y),
        "test": (X, Y),
        "train_attributions": X,
        "test_attributions": X,
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        evaluation.remove_and_retrain(**arguments)


def test_deletion_is_pixel_flipping_of_quantus():
    quantus = pytest.importorskip("quantus", reason="compares with Quantus")
    torch = pytest.importorskip("torch", reason="Quantus asks PyTorch models")
    rng = np.random.default_rng(0)
    x = rng.random((6, 4, 4, 1)).astype("float32")
    attributions = rng.normal(size=x.shape)
    weights = rng.normal(size=(16, 3)).astype("float32")
    y = rng.integers(0, 3, 6)

    class Network(torch.nn.Module):
        def forward(self, x):
            return torch.softmax(
                x.reshape(len(x), -1) @ torch.tensor(weights), -1
            )

    expected = quantus.PixelFlipping(
        features_in_step=4,
        normalise=False,
        perturb_baseline=0.0,
        disable_warnings=True,
    )(
        model=Network().eval(),
        x_batch=x.transpose(0, 3, 1, 2),
        y_batch=y,
        a_batch=attributions.transpose(0, 3, 1, 2),
        softmax=False,
    )
    found = evaluation.deletion(
        Predicts(lambda x: softmax(x.reshape(len(x), -1) @ weights)),
        x,
        attributions,
        target=y,
        fill=0.0,
        levels=[0.25, 0.5, 0.75],
    )
    np.testing.assert_allclose(
        found.curve[1:], np.mean(expected, axis=0), atol=1e-6
    )


@pytest.mark.parametrize("keep_top", [False, True])
def test_output_change_is_its_formula(keep_top):
    """By a loop over samples and levels, of a linear model's two outputs."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(7, 10)).astype("float32")
    kernel = rng.normal(size=(10, 2)).astype("float32")
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)])
    model.set_weights([kernel, np.zeros(2)])
    maps, target = rng.normal(size=x.shape), np.arange(7) % 2
    found = evaluation.output_change(
        model, x, maps, target, levels=[0.2, 0.5], keep_top=keep_top
    )
    outputs = x @ kernel
    changes = np.zeros((7, 4))
    for i in range(7):
        order = np.argsort(-abs(maps[i]))
        for j, count in enumerate((0, 2, 5, 10)):
            removed = order[count:] if keep_top else order[:count]
            row = x[i].copy()
            row[removed] = x.mean(0)[removed]
            moved = abs((row @ kernel - outputs[i])[target[i]])
            changes[i, j] = moved / outputs.std(0)[target[i]]
    np.testing.assert_allclose(found.curve, changes.mean(0), atol=1e-5)
    areas = (changes[:, 1:] + changes[:, :-1]) / 2 @ [0.2, 0.3, 0.5]
    np.testing.assert_allclose(found.per_sample, areas, rtol=1e-4)


def test_output_change_of_a_constant_is_zero():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.set_weights([np.zeros((4, 1)), np.ones(1)])
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert evaluation.output_change(model, x, x).value == 0
