"""Loaders of the examples' data: a folder of files, or TFDS."""

import inspect

from keras_sgt import checks
from keras_sgt.datasets import images, tables, texts


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
    - `"sst2"`: sentences of reviews, positive or negative, from
      `sst2/{train,dev,test}.tsv`: a sentence, a tab, 0 or 1.
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


_LOADERS = {
    "mnist": images.by_name("mnist"),
    "fashion_mnist": images.by_name("fashion_mnist"),
    "cifar10": images.by_name("cifar10"),
    "cifar10_jpeg": images.cifar10_jpeg,
    "pets": images.pets,
    "movies": texts.movies,
    "esnli": texts.esnli,
    "imdb": texts.imdb,
    "sst2": texts.sst2,
    "har": tables.har,
    "adult": tables.adult,
}
NAMES = tuple(_LOADERS)
