"""`compare`: models side by side."""

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.report import arguments
from keras_sgt.report import measures as known_measures
from keras_sgt.report.cache import Cache
from keras_sgt.report.comparison import Comparison
from keras_sgt.report.methods import named_methods
from keras_sgt.report.task import Task


def compare(
    models,
    x,
    y,
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
    batch_size=64,
    cache=None,
    verbose=1,
):
    """Compares models by accuracy, and by how faithful their maps are.

    Args:
        models: dict from names to trained classifiers of the same inputs and
            classes, or to lists of them, trained from several seeds.
        x: test inputs, an array: images `(samples, height, width, channels)`,
            time series `(samples, steps, features)`, tables
            `(samples, columns)`, or texts, token ids `(samples, length)`
            padded with 0. All but token ids become floats.
        y: their classes, ints `(samples,)` or one-hot.
        methods: names of attribution methods, or a dict from names to
            functions from a model to a method of `keras_sgt.attribution`.
            Attributed is the class that each model predicts. Defaults to the
            gradient, integrated gradients, and random numbers, the control.
            A cache tells methods apart by their names, and models by their
            configuration and weights.
        measures: names of measures. Defaults to all that fit the data.
        truth: bools shaped like `x` (or that broadcast to it): the features
            that matter. Texts without any do not count in the measures that
            need it. Defaults to `None`, unknown.
        domain: `"images"`, `"series"`, `"table"` or `"text"`. Defaults to
            `"auto"`: told by the axes and type of `x` (ints of two axes are
            text).
        seeds: list of ints, the seeds of each name's models, which the notes
            of the table name. Defaults to none.
        class_names: list of str.
        feature_names: list of str, of the columns of a table or the features
            of series.
        token_names: list of str, or dict from ids to str, of texts.
        from_logits: whether outputs are logits. Defaults to `"auto"`: told by
            the activation of the last layer, or, where that cannot be known,
            by whether they leave [0, 1] or do not sum to 1.
        samples: int, how many samples are shown in pictures. Defaults to 24.
        batch_size: int. Defaults to 64.
        cache: path of a folder that keeps what is finished: the same call
            goes on where it was interrupted. Defaults to none.
        verbose: 1 for a progress bar. Defaults to 1.

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
    models = arguments.named_models(models)
    x, y, domain = arguments.arrays(x, y, domain)
    truth = arguments.true_features(truth, x, domain)
    task = Task(
        x=x,
        y=y,
        truth=truth,
        domain=domain,
        measures=known_measures.choose(measures, domain, truth),
        shown=_of_all_classes(y, checks.count("samples", samples)),
        batch_size=checks.count("batch_size", batch_size),
    )
    methods = named_methods(methods)
    arguments.check_names(models, seeds, class_names, feature_names, x, y)
    return Comparison(
        parts=_parts(task, models, methods, from_logits, Cache(cache), verbose),
        x=x[task.shown],
        y=y[task.shown],
        truth=None if truth is None else truth[task.shown],
        domain=domain,
        shown=task.shown,
        count=len(x),
        seeds=seeds,
        class_names=class_names,
        feature_names=feature_names,
        token_names=token_names,
    )


def _parts(task, models, methods, from_logits, cache, verbose):
    """What is found of each model, method (`None`: of no method) and seed."""
    logits = arguments.gives_logits(
        from_logits, models, task.x, task.batch_size
    )
    numbered = [
        (name, seed, model, logits[name][seed])
        for name, group in models.items()
        for seed, model in enumerate(group)
    ]
    # A method that does not go with a model is told before the work starts.
    made = {
        (name, method, seed): make(model, from_logits=told)
        for name, seed, model, told in numbered
        for method, make in methods.items()
    }
    bar = keras.utils.Progbar(
        len(numbered) * (1 + len(methods)), verbose=verbose, unit_name="part"
    )
    parts = {}
    for name, seed, model, told in numbered:
        key = task.key(model, told)
        parts[name, None, seed] = cache.get(
            [key, "model"],
            lambda model=model, told=told: task.of_model(model, told),
        )
        bar.add(1)
        for method in methods:
            # Not kept: it holds a compiled program.
            one = made.pop((name, method, seed))
            parts[name, method, seed] = cache.get(
                [key, method, task.measures],
                lambda of=(model, one, told): task.of_method(*of),
            )
            bar.add(1)
    return parts


def _of_all_classes(y, samples):
    """The first samples of every class, in turn."""
    turn = np.empty(len(y), int)
    for label in np.unique(y):
        turn[y == label] = np.arange((y == label).sum())
    order = np.lexsort((np.arange(len(y)), y, turn))
    return np.sort(order[:samples])
