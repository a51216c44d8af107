"""`compare`: models side by side."""

import types

import keras

from keras_sgt import backend
from keras_sgt.report import arguments, tasks
from keras_sgt.report.cache import Cache
from keras_sgt.report.comparison import Comparison
from keras_sgt.report.work import Work


def compare(
    models,
    x,
    y=None,
    methods=("gradient", "integrated_gradients", "random"),
    measures=None,
    truth=None,
    domain="auto",
    seeds=None,
    class_names=None,
    feature_names=None,
    token_names=None,
    from_logits="auto",
    samples=24,
    batch_size=None,
    cache=None,
    verbose=1,
    traditional=None,
    control=None,
    accuracy_tolerance=0.02,
    vocabulary=None,
    task="auto",
):
    """Compares models by accuracy, and by how faithful their maps are.

    Args:
        models: dict from names to trained models of the same inputs and
            outputs, or to lists of them, trained from several seeds.
        x: test inputs, what `fit` took: an array of images `(samples, height,
            width, channels)` (channels first if
            `keras.config.image_data_format()` says so), time series
            `(samples, steps, features)`, rows of a table `(samples, columns)`,
            or token ids `(samples, length)`, padded with 0; a nest of arrays,
            such as a dict of columns or `{"token_ids": ..., "padding_mask":
            ...}`; a `DataFrame`; or, without `y`, a data set that yields `(x,
            y)` or `(x, y, sample_weight)` (`tf.data`,
            `keras.utils.PyDataset`, a `DataLoader`), which is read once,
            whole; weights are left aside.
            Token ids in batches of several lengths are padded with 0 to the
            longest. All numbers but token ids become floats.
        y: their classes, ints `(samples,)` or `(samples, 1)` or one-hot; ones
            and zeros `(samples, labels)` of several labels at once; or
            numbers `(samples, outputs)` of a regression. Defaults to what the
            data set yields.
        methods: names of attribution methods, or a dict from names to
            functions from a model to a method of `keras_sgt.attribution`.
            Attributed is the class that each model predicts (the most likely
            label; of several numbers, that furthest from its mean). Defaults
            to the gradient, integrated gradients, and random numbers, the
            control. A cache tells methods apart by their names, and models by
            their configuration and weights.
        measures: names of measures. Defaults to all that fit the data. Those
            that add noise add it to what was given as floats, never to whole
            numbers and categories of a table.
        truth: bools shaped like `x` (or that broadcast to it; of images
            without the channels): the features that matter. Texts without any
            do not count in the measures that need it. Defaults to `None`,
            unknown.
        domain: `"images"`, `"series"`, `"table"` or `"text"`. Defaults to
            `"auto"`: told by the axes and type of `x` (ints of two axes are
            text, unless they are a `DataFrame`; several inputs are a table of
            all their entries, or text where they are token ids and what goes
            along with each).
        seeds: list of ints, the seeds of each name's models, which the notes
            of the table name. Defaults to none.
        class_names: list of str, of the classes or the labels.
        feature_names: list of str, of the columns of a table or the features
            of series. Defaults to the names of the columns or inputs.
        token_names: list of str, or dict from ids to str, of texts.
        from_logits: whether outputs are logits. Defaults to `"auto"`: told by
            the activation of the last layer, or, where that cannot be known,
            by whether they leave [0, 1] or do not sum to 1.
        samples: int, how many samples are shown in pictures. Defaults to 24.
        batch_size: int, samples in one pass through a model. Defaults to
            `None`: 64, and up to 512 of small samples, but of texts.
        cache: path of a folder that keeps what is finished: the same call
            goes on where it was interrupted. Defaults to none.
        verbose: 1 for a progress bar. Defaults to 1.
        traditional: str, the name of the model that was trained
            traditionally, with which the verdict compares the others.
            Defaults to the one that is named so: "traditional", "plain", ...
        control: str, the name of the model whose guidance was blind. Defaults
            to the one that is named so: "random mask", "control", ...
        accuracy_tolerance: float, how much accuracy (or R²) a model may lose
            for the sake of its maps. One whose loss is greater for sure, by
            its 95 % interval, is left out of the verdict and of the marks of
            the best. Defaults to 0.02.
        vocabulary: what decodes token ids: a list of words, a dict or function
            from ids to words, or a layer or tokenizer that knows them
            (`get_vocabulary()`, `id_to_token(id)`).
        task: `"classification"`, `"multi-label"` or `"regression"`. Defaults
            to `"auto"`: told by the labels, the loss and the outputs.

    Returns:
        `Comparison`.

    Raises:
        ValueError: for models that do not go together, data that is empty or
            does not fit, or names that do not exist.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
    >>> x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [2, 1, 0, 0]])
    >>> result = keras_sgt.compare(
    ...     {"only": model}, x, [0, 1, 1], methods=["gradient"], verbose=0
    ... )
    >>> [row["measure"] for row in result.rows]
    ['accuracy', 'accuracy_drop', 'deletion', 'insertion', 'gini']
    """
    asked = arguments.checked(types.SimpleNamespace(**locals()))
    with backend.advised():
        parts = _parts(asked, Cache(cache), verbose)
    return Comparison(
        parts=parts,
        data=asked.data.some(asked.shown),
        names=asked.names,
        shown=asked.shown,
        count=len(asked.data.x),
        chance=tasks.chance(asked.data.task, asked.data.y),
        accuracy_tolerance=asked.accuracy_tolerance,
        batch_size=asked.batch_size,
    )


def _parts(asked, cache, verbose):
    """What is found of each model, method (`None`: of no method) and seed."""
    work = Work(asked.data, asked.measures, asked.shown, asked.batch_size)
    numbered = [
        (name, seed, model, asked.logits[name][seed])
        for name, group in asked.models.items()
        for seed, model in enumerate(group)
    ]
    # A method that does not go with a model is told before the work starts.
    made = {
        (name, method, seed): make(model, from_logits=logits)
        for name, seed, model, logits in numbered
        for method, make in asked.methods.items()
    }
    bar = keras.utils.Progbar(
        len(numbered) * (1 + len(asked.methods)),
        verbose=verbose,
        unit_name="part",
    )
    parts = {}
    for name, seed, model, logits in numbered:
        key = work.key(model, logits)
        parts[name, None, seed] = cache.get(
            [key, "model"], lambda of=(model, logits): work.of_model(*of)
        )
        bar.add(1)
        for method in asked.methods:
            # Not kept: it holds a compiled program.
            one = made.pop((name, method, seed))
            parts[name, method, seed] = cache.get(
                [key, method, work.measures],
                lambda of=(model, one, logits): work.of_method(*of),
            )
            bar.add(1)
    return parts
