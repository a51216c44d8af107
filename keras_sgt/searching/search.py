"""`search`: which guidance works on my data?"""

from keras_sgt.searching import arguments
from keras_sgt.searching import trials as trials_
from keras_sgt.searching.plan import make_plan
from keras_sgt.searching.run import Run
from keras_sgt.searching.training import Recipe


def search(
    build_model,
    train,
    validation,
    candidates="default",
    tolerance=0.005,
    measures="default",
    trials=30,
    epochs=10,
    seeds=3,
    truth=None,
    test=None,
    storage=None,
    name=None,
    seed=0,
    verbose=1,
    *,
    batch_size=None,
    samples=512,
):
    """Finds the guidance that makes a model's gradients faithful.

    First `trials` settings of the candidate guidances are trained from one
    seed; Optuna proposes them (TPE, with the accuracy as a constraint), and
    gives up what falls behind. Then the most faithful one that keeps the
    accuracy is confirmed: it, traditional training and its own blind control
    are trained on `seeds` fresh seeds, from the same initial weights each, and
    compared on data that nothing was chosen by.

    It **wins** if it is more faithful than traditional training and than its
    control, both by intervals that exclude 0, and loses no more accuracy than
    `tolerance`. Faithfulness is explained in `docs/searching.md`. The global
    random seeds of Keras are set on the way.

    Args:
        build_model: function without arguments that returns a new, compiled
            classifier; its loss, optimizer and metrics are kept.
        train: what `fit` takes: a tuple `(x, y)`, or a data set.
        validation: the same, to choose by; all of it is held in memory.
        candidates: `"default"`, all that suit the data; names out of
            `"adversarial"`, `"masked"`, `"masked_adversarial"`,
            `"adversarial_comprehensiveness"`, `"comprehensiveness"` and
            `"gradient_penalty"`; or a dict from names to functions, which are
            given an Optuna trial (its `suggest_float`, `suggest_int`,
            `suggest_categorical`) and return a guidance or a list of them.
        tolerance: float in [0, 1), the accuracy that may be lost. Defaults to
            0.005, half a point.
        measures: `"default"`, or names out of `"relevance"` (needs `truth`),
            `"drop_blur"`, `"drop_sample"`, `"drop_mean"`, `"keep_mean"`; for
            texts `"comprehensiveness"` and `"sufficiency"`. No guidance is
            judged by a measure that it trains for.
        trials: int, how many settings are tried. Defaults to 30.
        epochs: int, of each training. Defaults to 10.
        seeds: int ≥ 2, of the confirmation. Defaults to 3.
        truth: bools shaped like the inputs of `validation`, the features that
            matter; a pair of them where `test` is given. Defaults to `None`.
        test: data to confirm with, like `validation`. Defaults to half of
            `validation`, split off before the search.
        storage: URL of a database, such as `"sqlite:///search.db"`, or a
            storage of Optuna (with a heartbeat; without one, the trial of a
            worker that died is waited for). The same call in several
            processes shares the work; what is finished never runs again.
            Defaults to memory.
        name: of the search in the storage. Defaults to `"search"`.
        seed: int. One worker finds the same with the same seed. Defaults to 0.
        verbose: 0 for silence. Defaults to 1: a line for each trial, with an
            estimate of what is left.
        batch_size: int, of arrays in `train`. Defaults to that of `fit`.
        samples: int, how many samples at most measure faithfulness. Defaults
            to 512.

    Returns:
        `Search`. Interrupted by Ctrl-C, with what there is by then.

    Raises:
        ValueError: before the first trial, for models, data, numbers or names
            that do not fit, and for a storage that cannot be reached.
        ImportError: without Optuna.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> def build_model():
    ...     layers = [keras.Input((4,)), keras.layers.Dense(2, "softmax")]
    ...     model = keras.Sequential(layers)
    ...     model.compile("adam", "sparse_categorical_crossentropy")
    ...     return model
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> y = (x[:, 0] > 0).astype("int32")
    >>> found = keras_sgt.search(
    ...     build_model,
    ...     train=(x[:32], y[:32]),
    ...     validation=(x[32:], y[32:]),
    ...     candidates=["adversarial"],
    ...     trials=1,
    ...     epochs=1,
    ...     seeds=2,
    ...     verbose=0,
    ... )
    >>> found.best.name
    'saliency_guided_model...'
    """
    arguments.check_numbers(
        tolerance,
        {
            "trials": (trials, 1),
            "epochs": (epochs, 1),
            "seeds": (seeds, 2),
            "seed": (seed, 0),
            "samples": (samples, 8),
            "batch_size": (1 if batch_size is None else batch_size, 1),
        },
    )
    plan = make_plan(
        Recipe(build_model, train, epochs, batch_size),
        validation,
        test,
        truth,
        candidates,
        measures,
        tolerance,
        samples,
        seed,
    )
    with trials_.quiet():
        return Run(plan, trials, seeds, storage, name or "search", verbose).go()
