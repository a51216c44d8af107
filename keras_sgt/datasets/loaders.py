"""Loaders of the examples' data: a folder of files, or TFDS."""

import csv
import dataclasses
import functools
import inspect
import io
import json
import os
import pathlib
import re
import tarfile

import numpy as np

from keras_sgt import checks

FOLDER = "KERAS_SGT_DATA"


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Inputs, labels, and where the truth is, if that is known.

    Args:
        x: array `(samples, ...)`, for language a list of lists of tokens.
        y: ints `(samples,)`.
        truth: bools, what of `x` is relevant: shaped like `x` without its
            channels, or a list of arrays, one for each text. `None` if the
            data do not tell.
    """

    x: object
    y: np.ndarray
    truth: object = None

    def __len__(self):
        return len(self.y)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of a data set, as its authors made them.

    Args:
        train, test: `Split`.
        valid: `Split`, or `None` if the authors made none.
        classes: names of the classes.
        features: names of the columns or channels of `x`, or `None`.
    """

    train: Split
    test: Split
    classes: tuple
    valid: Split | None = None
    features: tuple | None = None


def load(name, data_dir=None, **options):
    """Loads a data set that the examples use.

    - `"mnist"`, `"fashion_mnist"`, `"cifar10"`: images in [0, 1], by
      `tensorflow_datasets`.
    - `"cifar10_jpeg"`: CIFAR-10 after lossy compression, from the archives
      `cifar10_jpeg/cifar10_{train,test}_jpeg.tar.xz`. Not comparable with
      published figures.
    - `"pets"`: photographs with masks of the animal, at `size=96` pixels,
      from `oxford_pets3/oxford_pets3_256.tar`. Without `data_dir` and that
      file, `oxford_iiit_pet` by `tensorflow_datasets`. Or photographs of
      `folder=...`, a folder or tar archive in the layout of that file:
      `images/{name}.jpg`, `trimaps/{name}.png` (2 is background) and
      `index.tsv` with the columns name, label, and split (trainval or test).
    - `"movies"`: ERASER Movies with human rationales, from
      `eraser_movies/movies.tar.gz`, the original archive.
    - `"esnli"`: pairs of sentences, joined by `"|"`. With highlights from
      `esnli/highlights_train.json` and `highlights_dev.json`; `all_pairs=True`
      takes the complete `dev.tsv` and `test.tsv`, which have none.
    - `"imdb"`: reviews, from `imdb/aclImdb_labelled.tar.xz` (folders `train`
      and `test`, each with `pos` and `neg`).
    - `"har"`: human activity recognition, windows of 128 steps and 6 channels
      in g and rad/s, from `hapt/hapt_signals_i16.npz`; six activities, the
      transitions with `transitions=True`.
    - `"adult"`: census income, from `adult/adult.data`: a dict of columns.
      The file is split 3 : 1 by `seed=0`.

    Args:
        name: of `keras_sgt.datasets.NAMES`.
        data_dir: folder of the files. Defaults to the environment variable
            `KERAS_SGT_DATA`; for what `tensorflow_datasets` reads, to its own,
            `TFDS_DATA_DIR`.
        **options: those named above.

    Returns:
        `Dataset`.

    Raises:
        ValueError: for an unknown name.
        TypeError: for an option that this data set does not have.
        FileNotFoundError: if the files are not there.
        ImportError: if `tensorflow_datasets` or Pillow is needed and not
            installed.

    Example:

    >>> import keras_sgt
    >>> keras_sgt.datasets.load("movies", data_dir="/nowhere")
    Traceback (most recent call last):
    FileNotFoundError: No eraser_movies/movies.tar.gz in `data_dir` ...
    """
    checks.choice("name", name, NAMES)
    known = list(inspect.signature(_LOADERS[name]).parameters)[1:]
    for option in options:
        if option not in known:
            raise TypeError(
                f"`load({name!r})` has no option `{option}`: "
                f"{f'it takes {known}' if known else 'it takes none'} besides "
                f"`data_dir`. Received: {option}={options[option]!r}"
            )
    return _LOADERS[name](data_dir, **options)


def _file(data_dir, *path):
    """A file of the data folder, which has to be there."""
    folder = data_dir or os.environ.get(FOLDER)
    if folder is not None and pathlib.Path(folder, *path).exists():
        return pathlib.Path(folder, *path)
    where = f"`data_dir` {folder!r}" if folder else "`data_dir`: none was given"
    raise FileNotFoundError(
        f"No {'/'.join(path)} in {where}. Give the folder that holds it as "
        f"`data_dir`, or in the environment variable {FOLDER}."
    )


def _members(path):
    """Name and content of each file of an archive, in its order."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()


def _tfds(name, split, data_dir=None):
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise ImportError(
            f"{name!r} is read by tensorflow_datasets: "
            '`pip install "keras-sgt[data]"`'
        ) from e
    return tfds.load(name, split=split, data_dir=data_dir, with_info=True)


def _images(name):
    def load_images(data_dir):
        splits = []
        for split in ("train", "test"):
            records, info = _tfds(name, split, data_dir)
            batches = records.batch(1000).as_numpy_iterator()
            rows = [(batch["image"], batch["label"]) for batch in batches]
            x, y = (np.concatenate(column) for column in zip(*rows))
            x = (x / np.float32(255)).astype("float32")
            splits.append(Split(x, y.astype("int32")))
        return Dataset(*splits, tuple(info.features["label"].names))

    return load_images


def _cifar10_jpeg(data_dir):
    splits = []
    for split in ("train", "test"):
        archive = f"cifar10_{split}_jpeg.tar.xz"
        rows = [
            # <index>_<class>.jpg
            (_decoded(content), pathlib.Path(name).stem.split("_"))
            for name, content in _members(
                _file(data_dir, "cifar10_jpeg", archive)
            )
            if name.endswith(".jpg")
        ]
        x = np.stack([image for image, _ in rows]) / np.float32(255)
        names = [label for _, (_, label) in rows]
        splits.append((x.astype("float32"), names))
    classes = sorted(set(splits[0][1]))
    return Dataset(
        *(
            Split(x, np.array([classes.index(n) for n in names], "int32"))
            for x, names in splits
        ),
        tuple(classes),
    )


def _pets(data_dir, size=96, folder=None):
    checks.count("size", size)
    if folder is not None:
        return _photographs(pathlib.Path(folder), size)
    try:
        archive = _file(data_dir, "oxford_pets3", "oxford_pets3_256.tar")
    except FileNotFoundError:
        if data_dir is not None:
            raise
        return _pets_of_tfds(size)
    return _photographs(archive, size)


def _photographs(path, size):
    """A folder, or an archive of one, in the layout of `oxford_pets3`."""
    files = _below(path)
    if "index.tsv" not in files:
        raise FileNotFoundError(
            f"No index.tsv in `folder` {str(path)!r}: it has to hold "
            "index.tsv, images/ and trimaps/."
        )
    text = io.StringIO(files["index.tsv"]().decode())
    rows = list(csv.DictReader(text, delimiter="\t"))
    if {row["split"] for row in rows} != {"trainval", "test"}:
        raise ValueError(
            "index.tsv has to hold the splits trainval and test. Received: "
            f"{sorted({row['split'] for row in rows})}"
        )
    labels = sorted({int(row["label"]) for row in rows})
    found = {"trainval": [], "test": []}
    breeds = {}
    for row in rows:
        image = _decoded(files[f"images/{row['name']}.jpg"]())
        trimap = _decoded(files[f"trimaps/{row['name']}.png"]())
        x, mask = _square(image, trimap, size)
        label = labels.index(int(row["label"]))
        found[row["split"]].append((x, label, mask))
        breeds[label] = row["name"].rsplit("_", 1)[0]
    classes = tuple(breeds[label] for label in range(len(labels)))
    return Dataset(*map(_stacked, found.values()), classes)


def _below(path):
    """What reads each file below a folder, or below the root of an archive."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return {f.relative_to(path).as_posix(): f.read_bytes for f in files}
    if not path.exists():
        raise FileNotFoundError(f"There is no `folder` {str(path)!r}.")
    return {
        name.split("/", 1)[-1]: functools.partial(bytes, content)
        for name, content in _members(path)
    }


def _pets_of_tfds(size):
    splits = []
    for split in ("train", "test"):
        records, info = _tfds("oxford_iiit_pet", split)
        rows = []
        for r in records.as_numpy_iterator():
            x, mask = _square(r["image"], r["segmentation_mask"], size)
            rows.append((x, r["label"], mask))
        splits.append(_stacked(rows))
    return Dataset(*splits, tuple(info.features["label"].names))


def _pillow():
    try:
        from PIL import Image
    except ImportError as e:
        raise ImportError(
            "Photographs are read by Pillow: `pip install pillow`"
        ) from e
    return Image


def _decoded(content):
    return np.array(_pillow().open(io.BytesIO(content)))


def _square(image, trimap, size):
    """The middle square at `size` pixels in [0, 1], and where the animal is."""
    Image = _pillow()
    height, width = image.shape[:2]
    side = min(height, width)
    box = ((width - side) // 2, (height - side) // 2)
    box = (*box, box[0] + side, box[1] + side)
    rgb = Image.fromarray(image).convert("RGB")
    x = rgb.resize((size, size), Image.Resampling.BILINEAR, box=box)
    mask = Image.fromarray(trimap.reshape(height, width)).resize(
        (size, size), Image.Resampling.NEAREST, box=box
    )
    # Trimaps: 1 animal, 2 background, 3 its border, which is hair for the most.
    return np.asarray(x, "float32") / 255, np.asarray(mask) != 2


def _stacked(rows):
    x, y, truth = zip(*rows)
    return Split(np.stack(x), np.array(y, "int32"), np.stack(truth))


def _movies(data_dir):
    archive = _file(data_dir, "eraser_movies", "movies.tar.gz")
    files = dict(_members(archive))
    splits = {}
    for split in ("train", "val", "test"):
        x, y, truth = [], [], []
        for line in files[f"movies/{split}.jsonl"].decode().splitlines():
            row = json.loads(line)
            name = row["annotation_id"]
            tokens = files[f"movies/docs/{name}"].decode().split()
            marked = np.zeros(len(tokens), bool)
            for evidence in row["evidences"]:
                for span in evidence:
                    marked[span["start_token"] : span["end_token"]] = True
            x.append(tokens)
            y.append(row["classification"] == "POS")
            truth.append(marked)
        splits[split] = Split(x, np.array(y, "int32"), truth)
    return Dataset(
        splits["train"],
        splits["test"],
        ("negative", "positive"),
        valid=splits["val"],
    )


_ENTAILMENT = ("neutral", "entailment", "contradiction")


def _esnli(data_dir, all_pairs=False):
    if all_pairs:
        return Dataset(
            _pairs(_file(data_dir, "esnli", "dev.tsv")),
            _pairs(_file(data_dir, "esnli", "test.tsv")),
            _ENTAILMENT,
        )
    return Dataset(
        _highlights(_file(data_dir, "esnli", "highlights_train.json")),
        _highlights(_file(data_dir, "esnli", "highlights_dev.json")),
        _ENTAILMENT,
    )


def _pairs(path):
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    x = [f"{r['premise']} | {r['hypothesis']}".lower().split() for r in rows]
    return Split(x, np.array([r["label"] for r in rows], "int32"))


def _highlights(path):
    """Tokens are words; true are those that most annotators marked."""
    x, y, truth = [], [], []
    for row in json.loads(path.read_text()):
        tokens, marked = [], []
        for part in ("premise", "hypothesis"):
            spans = _words(row[part])
            votes = np.zeros(len(spans))
            for explanation in row["explanations"]:
                starts = [at for _, at in explanation[f"{part}_expl_tokens"]]
                votes += [
                    any(start <= at < end for at in starts)
                    for _, start, end in spans
                ]
            tokens += [word for word, _, _ in spans]
            marked += list(votes > len(row["explanations"]) / 2)
            if part == "premise":
                tokens.append("|")
                marked.append(False)
        x.append(tokens)
        y.append(_ENTAILMENT.index(row["label"]))
        truth.append(np.array(marked))
    return Split(x, np.array(y, "int32"), truth)


_WORD = re.compile(r"\w+|[^\w\s]")


def _words(text):
    """`(word, start, end)` of each word, in lower case, and punctuation."""
    found = _WORD.finditer(text)
    return [(m.group().lower(), m.start(), m.end()) for m in found]


def _imdb(data_dir):
    archive = _file(data_dir, "imdb", "aclImdb_labelled.tar.xz")
    splits = {"train": ([], []), "test": ([], [])}
    for name, content in _members(archive):
        parts = name.split("/")
        if len(parts) < 3 or parts[-2] not in ("pos", "neg"):
            continue
        text = content.decode().replace("<br />", " ")
        x, y = splits[parts[-3]]
        x.append(_WORD.findall(text.lower()))
        y.append(parts[-2] == "pos")
    train, test = (Split(x, np.array(y, "int32")) for x, y in splits.values())
    return Dataset(train, test, ("negative", "positive"))


_HAR = (
    "walking",
    "upstairs",
    "downstairs",
    "sitting",
    "standing",
    "laying",
    "stand to sit",
    "sit to stand",
    "sit to lie",
    "lie to sit",
    "stand to lie",
    "lie to stand",
)
_SENSORS = ("acc", "gyro")
_HAR_TEST_USERS = (2, 4, 9, 10, 12, 13, 18, 20, 24)


_WINDOW, _STRIDE = 128, 64


def _har(data_dir, transitions=False):
    """Windows inside each labelled stretch, as the data's authors cut them."""
    raw = np.load(_file(data_dir, "hapt", "hapt_signals_i16.npz"))
    signal, scale = raw["signal"], raw["scale"].astype("float32")
    offsets = dict(zip(raw["exp"].tolist(), raw["offsets"].tolist()))
    found = {False: ([], []), True: ([], [])}
    for experiment, user, activity, start, end in raw["labels"].tolist():
        if activity > 6 and not transitions:
            continue
        x, y = found[user in _HAR_TEST_USERS]
        stretch = signal[offsets[experiment] + start - 1 :][: end - start + 1]
        for first in range(0, len(stretch) - _WINDOW + 1, _STRIDE):
            x.append(stretch[first : first + _WINDOW] * scale)
            y.append(activity - 1)
    train, test = (
        Split(np.stack(x), np.array(y, "int32")) for x, y in found.values()
    )
    return Dataset(
        train,
        test,
        _HAR if transitions else _HAR[:6],
        features=tuple(f"{of} {axis}" for of in _SENSORS for axis in "xyz"),
    )


_ADULT = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
)


def _adult(data_dir, seed=0):
    with _file(data_dir, "adult", "adult.data").open() as file:
        rows = [r for r in csv.reader(file, skipinitialspace=True) if r]
    order = np.random.default_rng(seed).permutation(len(rows))
    test, train = np.split(order, [len(rows) // 4])
    y = np.array([r[-1].startswith(">50K") for r in rows], "int32")
    columns = {}
    for name, values in zip(_ADULT, zip(*rows)):
        numeric = all(v.lstrip("-").isdigit() for v in values)
        columns[name] = np.array(values, "float32" if numeric else str)
    parts = (
        Split({k: v[part] for k, v in columns.items()}, y[part])
        for part in (train, test)
    )
    return Dataset(*parts, ("at most 50K", "above 50K"), features=_ADULT)


_LOADERS = {
    "mnist": _images("mnist"),
    "fashion_mnist": _images("fashion_mnist"),
    "cifar10": _images("cifar10"),
    "cifar10_jpeg": _cifar10_jpeg,
    "pets": _pets,
    "movies": _movies,
    "esnli": _esnli,
    "imdb": _imdb,
    "har": _har,
    "adult": _adult,
}
NAMES = tuple(_LOADERS)
