"""The synthetic data by their description, the real ones by their counts."""

import os
import sys
import tarfile

import keras
import numpy as np
import pytest

from keras_sgt import datasets

SIZES = {
    "middle": (30, 30),
    "small_middle": (14, 14),
    "moving_middle": (30, 30),
    "moving_small_middle": (15, 15),
    "rare_time": (6, 40),
    "moving_rare_time": (6, 40),
    "rare_feature": (40, 6),
    "moving_rare_feature": (40, 6),
    "positional_time": (20, 20),
    "positional_feature": (20, 20),
}
STARTS = {
    "middle": (10, 10),
    "small_middle": (18, 18),
    "rare_time": (22, 5),
    "rare_feature": (5, 22),
}


def corners(truth):
    return np.stack([truth.any(2).argmax(1), truth.any(1).argmax(1)], 1)


@pytest.mark.parametrize("layout", SIZES)
def test_box_is_a_rectangle_of_its_layout(layout):
    x, y, truth = datasets.boxes(layout, samples=200, seed=3)
    assert x.shape == truth.shape == (200, 50, 50)
    assert x.dtype == "float32"
    assert set(y) == {0, 1}
    steps, features = SIZES[layout]
    assert (truth.any(2).sum(1) == steps).all()
    assert (truth.any(1).sum(1) == features).all()
    assert (truth.sum((1, 2)) == steps * features).all()
    found = corners(truth)
    if layout in STARTS:
        assert (found == STARTS[layout]).all()
    elif layout.startswith("moving"):
        last = 50 - np.array([steps, features])
        assert (found.min(0) == 0).all()
        assert (found.max(0) == last).all()
    else:
        axis = 0 if layout == "positional_time" else 1
        assert (found[y == 1, axis] == 1).all()
        assert (found[y == 0, axis] == 29).all()
        assert len(set(found[:, 1 - axis])) > 20


@pytest.mark.parametrize("process", datasets.PROCESSES)
def test_box_is_shifted_by_the_class_and_nothing_else(process):
    options = {"layout": "small_middle", "process": process, "samples": 50}
    x, y, truth = datasets.boxes(**options, seed=1)
    plain, _, _ = datasets.boxes(**options, seed=1, shift=0.0)
    shift = np.where(truth, np.where(y == 1, 1, -1)[:, None, None], 0)
    np.testing.assert_allclose(x - plain, shift, atol=1e-5)
    again, _, _ = datasets.boxes(**options, seed=1)
    np.testing.assert_array_equal(x, again)
    assert abs(x - datasets.boxes(**options, seed=2)[0]).max() > 0.1


def noise(process, samples=2000):
    return datasets.boxes("rare_time", process, samples, shift=0.0)[0]


def test_moments_of_the_processes():
    """Variances of the closed forms, 0.09 of it the added noise."""
    assert noise("gaussian").var() == pytest.approx(1, rel=0.01)
    assert noise("gaussian_process").var() == pytest.approx(1.09, rel=0.03)
    # sin² is 1/2 in the mean; N(1, 0.5) squared is 1.25.
    assert noise("harmonic").var() == pytest.approx(0.59, rel=0.02)
    assert noise("pseudo_periodic").var() == pytest.approx(0.715, rel=0.05)
    assert noise("car").var() == pytest.approx(0.09, rel=0.02)
    steps = noise("auto_regressive").var((0, 2))
    expected = 0.25 * np.cumsum(0.81 ** np.arange(50)) + 0.09
    np.testing.assert_allclose(steps, expected, rtol=0.03)


def test_gaussian_process_is_smooth_and_narma_is_not_one_series():
    x = noise("gaussian_process", 500)
    neighbours = (x[:, 1:] * x[:, :-1]).mean()
    far = (x[:, 25:] * x[:, :-25]).mean()
    assert neighbours > 0.7
    assert abs(far) < 0.02
    x = noise("narma", 500)
    assert np.isfinite(x).all()
    # The noise has variance 0.09; series that were the same would add none.
    assert x[:, -1].var() > 0.1


def test_boxes_scale_with_the_sides():
    _, _, truth = datasets.boxes("middle", samples=5, steps=100, features=25)
    assert (truth.any(2).sum(1) == 60).all()
    assert (truth.any(1).sum(1) == 15).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "left"}, "`layout` has to be one of"),
        ({"process": "white"}, "`process` has to be one of"),
        ({"samples": 0}, "`samples`"),
        ({"layout": "rare_time", "steps": 3}, "leave room for a box"),
    ],
)
def test_boxes_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.boxes(**options)


@pytest.mark.parametrize(("axis", "along"), [("height", 1), ("width", 2)])
def test_null_blocks(axis, along):
    images = np.random.default_rng(0).random((200, 12, 12, 3))
    x, truth = datasets.null_blocks(images, axis=axis)
    shape = [200, 12, 12, 3]
    shape[along] = 24
    assert list(x.shape) == list(truth.shape) == shape
    np.testing.assert_array_equal(x[truth], images.ravel())
    nulls = x[~truth].reshape(200, -1)
    assert (nulls == nulls[0]).all()
    assert len(np.unique(nulls)) == 2
    first = truth.take(0, axis=along)[:, 0, 0]
    assert 70 < first.sum() < 130  # either side about as often
    given = np.full((12, 12, 3), 0.5)
    x, truth = datasets.null_blocks(images, null=given, axis=axis)
    assert (x[~truth] == 0.5).all()
    with pytest.raises(ValueError, match="`null` has to be of the shape"):
        datasets.null_blocks(images, null=given[..., :1])


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(0.5, "uint8"), (300, "uint8"), (-1, "uint8"), (1e6, "float16")],
)
def test_null_blocks_refuse_what_the_images_cannot_hold(value, dtype):
    images = np.arange(288).reshape(2, 12, 12, 1).astype(dtype)
    null = np.full((12, 12, 1), value)
    with pytest.raises(ValueError, match=f"`x`, of dtype {dtype}, can hold"):
        datasets.null_blocks(images, null)
    if dtype == "uint8":
        x, truth = datasets.null_blocks(images, np.full((12, 12, 1), 44.0))
        assert x.dtype == "uint8"
        assert (x[~truth] == 44).all()
    x, truth = datasets.null_blocks(images.astype("float32"), null)
    assert (x[~truth] == np.float32(value)).all()


def test_null_blocks_refuse_images_without_room_for_a_square():
    images = np.arange(8.0).reshape(2, 2, 2, 1)
    with pytest.raises(ValueError, match="room for a hollow square"):
        datasets.null_blocks(images)
    x, truth = datasets.null_blocks(np.arange(18.0).reshape(2, 3, 3, 1))
    assert sorted(x[0][~truth[0]]) == [0] + 8 * [17]
    with pytest.raises(ValueError, match="`null` has to be one array of num"):
        datasets.null_blocks(images, np.full((2, 2, 1), "a"))


COUNTS = {  # training, validation, test: samples, and shares that are marked
    "movies": ("eraser_movies", (1600, 200, 199), (0.093, 0.072, 0.314)),
    "esnli": ("esnli", (988, None, 1000), None),
    "har": ("hapt", (7415, None, 2996), None),
    "adult": ("adult", (24421, None, 8140), None),
    "pets": ("oxford_pets3", (300, None, 298), None),
    "cifar10_jpeg": ("cifar10_jpeg", (50_000, None, 10_000), None),
    "imdb": ("imdb", (25_000, None, 25_000), None),
    "sst2": ("sst2", (6920, 872, 1821), None),
}


EQUAL = ("cifar10_jpeg", "imdb")  # as many samples of each class


def loaded(name, folder, **options):
    root = os.environ.get("KERAS_SGT_DATA")
    if not root or not os.path.isdir(os.path.join(root, folder)):
        pytest.skip(f"KERAS_SGT_DATA has no {folder}")
    return datasets.load(name, **options)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in EQUAL else ())
        for n in COUNTS
    ],
)
def test_loaders_count_as_the_data_are_described(name):
    folder, sizes, marked = COUNTS[name]
    if name in EQUAL and keras.backend.backend() != "tensorflow":
        pytest.skip("large, and read without a backend: once is enough")
    data = loaded(name, folder)
    splits = (data.train, data.valid, data.test)
    assert tuple(None if s is None else len(s) for s in splits) == sizes
    for split in filter(None, splits):
        assert set(split.y) == set(range(len(data.classes)))
        if not isinstance(split.x, dict):
            assert len(split.x) == len(split)
        if split.truth is not None and isinstance(split.x, list):
            words = [len(text) for text in split.x]
            assert words == [len(marks) for marks in split.truth]
    if marked:
        # The mean over texts of the words that are marked.
        found = [np.mean([m.mean() for m in s.truth]) for s in splits]
        np.testing.assert_allclose(found, marked, atol=0.001)
    if name in EQUAL:
        for split in (data.train, data.test):
            assert len(set(np.bincount(split.y))) == 1
    if name == "pets":
        assert data.train.x.shape == (300, 96, 96, 3)
        assert 0 <= data.train.x.min() < data.train.x.max() <= 1
        assert 0.3 < data.train.truth.mean() < 0.6


def test_windows_of_har():
    data = loaded("har", "hapt")
    assert data.train.x.shape[1:] == (128, 6)
    assert data.train.x.dtype == "float32"
    assert len(data.features) == 6
    # In g: most of what an accelerometer at rest measures is gravity.
    lying = data.train.x[data.train.y == data.classes.index("laying")]
    gravity = np.linalg.norm(lying[..., :3].mean(1), axis=-1)
    np.testing.assert_allclose(gravity, 1, atol=0.1)
    transitions = datasets.load("har", transitions=True)
    assert (len(transitions.train), len(transitions.test)) == (7767, 3162)
    assert set(transitions.test.y) == set(range(12))


def test_all_pairs_of_esnli():
    data = loaded("esnli", "esnli", all_pairs=True)
    assert (len(data.train), len(data.test)) == (9842, 9824)
    for split in (data.train, data.test):
        assert split.truth is None
        assert set(split.y) == {0, 1, 2}
        assert all(text.count("|") >= 1 for text in split.x)


TFDS = {  # images of the first three classes in the test split
    "mnist": [980, 1135, 1032],
    "fashion_mnist": [1000, 1000, 1000],
}


@pytest.mark.parametrize("name", TFDS)
def test_loaders_of_tfds(name):
    pytest.importorskip("tensorflow_datasets")
    root = os.environ.get("TFDS_DATA_DIR", "")
    if not os.path.isdir(os.path.join(root, name)):
        pytest.skip(f"TFDS_DATA_DIR has no {name}")
    data = datasets.load(name, data_dir=root)
    assert data.train.x.shape == (60_000, 28, 28, 1)
    assert (data.test.x.min(), data.test.x.max()) == (0, 1)
    assert np.bincount(data.test.y)[:3].tolist() == TFDS[name]
    assert len(data.test) == 10_000


def photographs(folder, splits=("trainval", "test")):
    """Four of 8 × 6 pixels, the animal of each in the left half."""
    image = pytest.importorskip("PIL.Image")
    for name in ("images", "trimaps"):
        (folder / name).mkdir(parents=True)
    rows = ["name\tlabel\tsplit"]
    for i, split in enumerate(2 * splits):
        name = f"{'cat' if i < 2 else 'dog'}_{i}"
        rows.append(f"{name}\t{3 if i < 2 else 7}\t{split}")
        pixels = np.full((8, 6, 3), 50 * i, "uint8")
        image.fromarray(pixels).save(folder / "images" / f"{name}.jpg")
        trimap = np.full((8, 6), 2, "uint8")
        trimap[:, :3] = 1
        image.fromarray(trimap).save(folder / "trimaps" / f"{name}.png")
    (folder / "index.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_photographs_of_a_folder(tmp_path):
    folder = photographs(tmp_path / "own")
    archive = tmp_path / "own.tar"
    with tarfile.open(archive, "w") as file:
        file.add(folder, arcname="own")
    for source in (folder, archive):
        data = datasets.load("pets", folder=source, size=4)
        assert data.classes == ("cat", "dog")
        assert data.train.y.tolist() == data.test.y.tolist() == [0, 1]
        assert data.test.x.shape == (2, 4, 4, 3)
        np.testing.assert_allclose(
            255 * data.test.x[:, 0, 0, 0], [50, 150], atol=2
        )
        assert data.train.truth[0].tolist() == 4 * [[True, True, False, False]]
    with pytest.raises(FileNotFoundError, match=r"No index\.tsv"):
        datasets.load("pets", folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no `folder`"):
        datasets.load("pets", folder=tmp_path / "nowhere")
    untested = photographs(tmp_path / "untested", ("trainval", "trainval"))
    with pytest.raises(ValueError, match="the splits trainval and test"):
        datasets.load("pets", folder=untested)


def test_pillow_is_named_where_it_is_missing(tmp_path, monkeypatch):
    folder = photographs(tmp_path / "own")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        datasets.load("pets", folder=folder)


def test_unknown_options_are_named():
    with pytest.raises(TypeError, match=r"`load\('movies'\)` has no option `s"):
        datasets.load("movies", size=32)
    with pytest.raises(TypeError, match=r"it takes \['all_pairs'\] besides"):
        datasets.load("esnli", pairs=True)
    with pytest.raises(ValueError, match="`size` has to be an integer"):
        datasets.load("pets", size=0)


def test_what_is_absent_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`name` has to be one of"):
        datasets.load("mnist2")
    monkeypatch.delenv("KERAS_SGT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="KERAS_SGT_DATA"):
        datasets.load("har")
    with pytest.raises(FileNotFoundError, match=r"adult/adult.data"):
        datasets.load("adult", data_dir=tmp_path)
    # Not those of TFDS in their place.
    with pytest.raises(FileNotFoundError, match="oxford_pets3"):
        datasets.load("pets", data_dir=tmp_path)
