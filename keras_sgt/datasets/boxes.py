"""The synthetic benchmark of time series: a box in noise decides the class."""

import numpy as np

from keras_sgt import checks

_SIDE = 50  # steps and features that the layouts are made for

# (steps, features) of the box, and where it starts; None: at random.
LAYOUTS = {
    "middle": ((30, 30), (10, 10)),
    "small_middle": ((14, 14), (18, 18)),
    "moving_middle": ((30, 30), (None, None)),
    "moving_small_middle": ((15, 15), (None, None)),
    "rare_time": ((6, 40), (22, 5)),
    "moving_rare_time": ((6, 40), (None, None)),
    "rare_feature": ((40, 6), (5, 22)),
    "moving_rare_feature": ((40, 6), (None, None)),
    "positional_time": ((20, 20), ((29, 1), None)),
    "positional_feature": ((20, 20), (None, (29, 1))),
}


def boxes(
    layout="middle",
    process="gaussian",
    samples=1000,
    steps=50,
    features=50,
    shift=1.0,
    seed=0,
):
    """Multivariate series of noise with a box in it that tells the class.

    Every series is a draw of `process`, to which Gaussian noise of deviation
    0.3 is added. In the box of a series of class 1, `shift` is added, of class
    0 subtracted. In the positional layouts it is always added, and where the
    box starts along one axis (at 1 for class 1, at 29 for class 0) tells the
    class. Boxes of "moving" layouts start anywhere they fit.

    The benchmark's networks see cells that are min-max scaled on the training
    samples; what is returned is not scaled.

    Args:
        layout: of `keras_sgt.datasets.LAYOUTS`, for 50 steps and 50 features;
            with others, the box keeps its share of each axis.
        process: `"gaussian"`: N(0, 1), without further noise; `"harmonic"`:
            sin(4πt); `"pseudo_periodic"`: a·sin(ft) with a ~ N(1, 0.5) and
            f ~ N(2, 0.01) drawn at each step; `"gaussian_process"`: Matérn
            3/2, length 1; `"auto_regressive"`: xₜ = 0.9 xₜ₋₁ + N(0, 0.5);
            `"car"`: continuous-time, xₜ = 0.9^Δ xₜ₋₁ + 0.01 √(1 − 0.9^Δ)
            N(0, 1), nearly nothing beside the noise; `"narma"`: order 10, each
            series with its own input (the benchmark's code repeats one). Time
            t is irregular: half of twice as many regular points of [0, 20],
            jittered and sorted, the same for the features of a sample.
        samples: int. Defaults to 1000.
        steps, features: ints. Default to 50.
        shift: float. Defaults to 1.0.
        seed: int. Defaults to 0.

    Returns:
        `(x, y, truth)`: floats `(samples, steps, features)`, ints
        `(samples,)` of 0 and 1, and bools shaped like `x`, the box.

    Raises:
        ValueError: for an unknown layout or process, or sizes without room for
            a box.

    Reference: Ismail et al., "Benchmarking deep learning interpretability in
    time series predictions", NeurIPS 2020, and its code (which calls the
    layout whose class decides the start in features "PositionalTime").

    Example:

    >>> import keras_sgt
    >>> x, y, truth = keras_sgt.datasets.boxes("rare_time", samples=100)
    >>> x.shape, truth[0].any(axis=1).nonzero()[0].tolist()
    ((100, 50, 50), [22, 23, 24, 25, 26, 27])
    >>> bool(x[truth & (y == 1)[:, None, None]].mean() > 0.9)
    True
    """
    checks.choice("layout", layout, tuple(LAYOUTS))
    checks.choice("process", process, tuple(PROCESSES))
    shape = tuple(
        checks.count(name, value)
        for name, value in (
            ("samples", samples),
            ("steps", steps),
            ("features", features),
        )
    )
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=samples)
    truth, positional = _truth(layout, y, shape, rng)
    x = PROCESSES[process](shape, rng)
    if process != "gaussian":
        x += rng.normal(0, 0.3, shape)
    sign = np.ones(samples) if positional else 2.0 * y - 1
    x += shift * sign[:, None, None] * truth
    return x.astype("float32"), y.astype("int32"), truth


def _truth(layout, y, shape, rng):
    """Where the box of each sample is, and whether its place is the class."""
    sizes, starts = LAYOUTS[layout]
    inside = []
    for size, start, length in zip(sizes, starts, shape[1:]):
        scale = length / _SIDE
        size = round(size * scale)
        if not 0 < size < length:
            raise ValueError(
                "`steps` and `features` have to leave room for a box and its "
                f"surroundings. Received: layout={layout!r}, steps={shape[1]}, "
                f"features={shape[2]}"
            )
        if start is None:
            first = rng.integers(length - size + 1, size=len(y))
        else:
            # One start for all, or one for each class.
            first = np.round(np.multiply(start, scale)).astype(int)
            first = first[y] if first.ndim else np.full(len(y), first)
        offset = np.arange(length) - first[:, None]
        inside.append((offset >= 0) & (offset < size))
    positional = any(isinstance(start, tuple) for start in starts)
    return inside[0][:, :, None] & inside[1][:, None, :], positional


def _times(shape, rng):
    """Irregular times, `(samples, steps)`."""
    samples, steps, _ = shape
    regular = np.linspace(0, 20, 2 * steps)
    kept = rng.permuted(np.tile(regular, (samples, 1)), axis=1)[:, :steps]
    return np.sort(kept + rng.normal(0, 10 / steps, kept.shape), axis=1)


def _gaussian(shape, rng):
    return rng.normal(size=shape)


def _harmonic(shape, rng):
    wave = np.sin(4 * np.pi * _times(shape, rng))
    return np.repeat(wave[:, :, None], shape[2], axis=2)


def _pseudo_periodic(shape, rng):
    times = _times(shape, rng)[:, :, None]
    amplitude, frequency = rng.normal(1, 0.5, shape), rng.normal(2, 0.01, shape)
    return amplitude * np.sin(frequency * times)


def _gaussian_process(shape, rng):
    times = _times(shape, rng)
    distance = np.sqrt(3) * abs(times[:, :, None] - times[:, None, :])
    covariance = (1 + distance) * np.exp(-distance)
    covariance += 1e-6 * np.eye(shape[1])  # times that nearly coincide
    return np.linalg.cholesky(covariance) @ rng.normal(size=shape)


def _auto_regressive(shape, rng):
    x = rng.normal(0, 0.5, shape)
    for t in range(1, shape[1]):
        x[:, t] += 0.9 * x[:, t - 1]
    return x


def _car(shape, rng):
    decay = 0.9 ** np.diff(_times(shape, rng), axis=1)[:, :, None]
    x = 0.01 * rng.normal(size=shape)
    x[:, 0] = 0.01
    x[:, 1:] *= np.sqrt(1 - decay)
    for t in range(1, shape[1]):
        x[:, t] += decay[:, t - 1] * x[:, t - 1]
    return x


def _narma(shape, rng, order=10):
    samples, steps, features = shape
    u = rng.uniform(0, 0.5, (samples, order + steps, features))
    x = np.zeros_like(u)
    for t in range(order, order + steps):
        past = x[:, t - 1]
        recent = x[:, t - order : t].sum(1)
        x[:, t] = 0.3 * past + 0.05 * past * recent
        x[:, t] += 1.5 * u[:, t - order] * u[:, t] + 0.1
    return x[:, order:]


PROCESSES = {
    "gaussian": _gaussian,
    "harmonic": _harmonic,
    "pseudo_periodic": _pseudo_periodic,
    "gaussian_process": _gaussian_process,
    "auto_regressive": _auto_regressive,
    "car": _car,
    "narma": _narma,
}
