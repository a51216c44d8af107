"""Loaders of images."""

import csv
import functools
import io
import pathlib

import numpy as np

from keras_sgt import checks
from keras_sgt.datasets.files import (
    Dataset,
    Split,
    file,
    from_tfds,
    members,
    stacked,
)


def by_name(name):
    def load_images(data_dir):
        splits = []
        for split in ("train", "test"):
            records, info = from_tfds(name, split, data_dir)
            batches = records.batch(1000).as_numpy_iterator()
            rows = [(batch["image"], batch["label"]) for batch in batches]
            x, y = (np.concatenate(column) for column in zip(*rows))
            x = (x / np.float32(255)).astype("float32")
            splits.append(Split(x, y.astype("int32")))
        return Dataset(*splits, tuple(info.features["label"].names))

    return load_images


def cifar10_jpeg(data_dir):
    splits = []
    for split in ("train", "test"):
        archive = f"cifar10_{split}_jpeg.tar.xz"
        rows = [
            # <index>_<class>.jpg
            (_decoded(content), pathlib.Path(name).stem.split("_"))
            for name, content in members(
                file(data_dir, "cifar10_jpeg", archive)
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


def pets(data_dir, size=96, folder=None):
    checks.count("size", size)
    if folder is not None:
        return _photographs(pathlib.Path(folder), size)
    try:
        archive = file(data_dir, "oxford_pets3", "oxford_pets3_256.tar")
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
    return Dataset(*map(stacked, found.values()), classes)


def _below(path):
    """What reads each file below a folder, or below the root of an archive."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return {f.relative_to(path).as_posix(): f.read_bytes for f in files}
    if not path.exists():
        raise FileNotFoundError(f"There is no `folder` {str(path)!r}.")
    return {
        name.split("/", 1)[-1]: functools.partial(bytes, content)
        for name, content in members(path)
    }


def _pets_of_tfds(size):
    splits = []
    for split in ("train", "test"):
        records, info = from_tfds("oxford_iiit_pet", split)
        rows = []
        for r in records.as_numpy_iterator():
            x, mask = _square(r["image"], r["segmentation_mask"], size)
            rows.append((x, r["label"], mask))
        splits.append(stacked(rows))
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
