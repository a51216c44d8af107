"""The best setting on fresh seeds and data, beside what it has to beat."""

import dataclasses
import typing

import numpy as np

from keras_sgt.searching import measures as known_measures

GUIDED, TRADITIONAL, CONTROL = "guided", "traditional", "control"
NOTHING = "Nothing tried here beat its control: train traditionally."


class Difference(typing.NamedTuple):
    """A mean difference and its 95 percent interval."""

    value: float
    low: float
    high: float

    def text(self):
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"


def paired(a, b, confidence=0.95):
    """The mean of a − b over seeds and samples, both of them random draws.

    `value ± t · √(s² / S + r² / n)`, s the deviation of the S seeds' means, r
    that of the n samples' means, t of Student's distribution with the degrees
    of freedom of Welch and Satterthwaite.

    Args:
        a, b: floats `(seeds, samples)`, two or more of each.
        confidence: float in (0, 1). Defaults to 0.95.

    Returns:
        `Difference`.
    """
    pairs = np.asarray(a, "float64") - np.asarray(b, "float64")
    parts = [
        (pairs.mean(1 - axis).var(ddof=1) / count, count - 1)
        for axis, count in enumerate(pairs.shape)
    ]
    variance = sum(v for v, _ in parts)
    value = float(pairs.mean())
    if variance == 0:
        return Difference(value, value, value)
    freedom = variance**2 / sum(v**2 / f for v, f in parts)
    reach = student_quantile((1 + confidence) / 2, freedom) * variance**0.5
    return Difference(value, float(value - reach), float(value + reach))


def student_quantile(p, freedom):
    """The quantile of Student's t, for p ≥ 1/2.

    With `t = √f · tan φ` the density is that of `cos(φ)^(f − 1)`.
    """
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angle[:-1] + angle[1] / 2) ** (freedom - 1)
    share = np.concatenate([[0], np.cumsum(density)])
    half = np.interp(2 * p - 1, share / share[-1], angle)
    return float(freedom**0.5 * np.tan(half))


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of the best setting.

    Args:
        title: str, the setting in words.
        measures: list of names, those that judge it.
        accuracies: dict from the three trainings to `(seeds, samples)`.
        values: dict from them to faithfulness `(seeds, samples)`.
        raw: dict from them to the mean of the only measure, or to `None`
            where there are several.
        scale: how much of the only measure one of faithfulness is.
        tolerance: float.
    """

    title: str
    measures: list
    accuracies: dict
    values: dict
    raw: dict | None
    scale: float
    tolerance: float

    def gain(self, training=GUIDED, over=TRADITIONAL):
        """How much more faithful one training is than another."""
        found = paired(self.values[training], self.values[over])
        return Difference(*(v * self.scale for v in found))

    def accuracy_gain(self, training=GUIDED, over=TRADITIONAL):
        return paired(self.accuracies[training], self.accuracies[over])

    @property
    def keeps_accuracy(self):
        return self.accuracy_gain().value >= -self.tolerance - 1e-9

    @property
    def wins(self):
        """Better than traditional and than its control, at its accuracy."""
        gains = (self.gain(), self.gain(over=CONTROL))
        return self.keeps_accuracy and all(gain.low > 0 for gain in gains)

    @property
    def measure(self):
        """What is said to move."""
        if self.raw is None:
            return "faithfulness"
        return known_measures.MEASURES[self.measures[0]].title

    def moves(self, training=GUIDED):
        if self.raw is None:
            return f"({self.gain(training).text()} deviations of a sample)"
        return (
            f"from {short(self.raw[TRADITIONAL])} to "
            f"{short(self.raw[training])} ({self.gain(training).text()})"
        )

    def sentence(self):
        points = f"{100 * self.accuracy_gain().value:+.1f}".replace("-", "−")
        if self.wins:
            return (
                f"{self.title} moves {self.measure} {self.moves()} at "
                f"{points} points of accuracy; {self._of_control()}"
            )
        return (
            f"{NOTHING} The most promising, {self.title}, moved "
            f"{self.measure} {self.moves()} against traditional training and "
            f"by {self.gain(over=CONTROL).text()} against its control, at "
            f"{points} points of accuracy."
        )

    def _of_control(self):
        control = self.gain(CONTROL)
        if control.low > 0:
            return f"its random control moves it less ({control.text()})."
        return f"its random control does not ({control.text()})."


def short(value):
    """Two decimals, without the zero before them."""
    return f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)


def signed(value):
    text = short(abs(value))
    if float(f"{value:.2f}") == 0:
        return text
    return ("+" if value > 0 else "−") + text
