"""What a comparison says in sentences, of cases whose answer is known."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt.report import summary, verdict

LENGTH = 6


def reading(column):
    """A model that tells the class from the sign of one column, surely."""
    model = keras.Sequential(
        [keras.Input((LENGTH,)), layers.Dense(2, "softmax")]
    )
    kernel = np.zeros((LENGTH, 2))
    kernel[column] = -9, 9
    model.set_weights([kernel, np.zeros(2)])
    return model


def compared(
    mass,
    wrong=None,
    n=200,
    spread=0.1,
    seeds=1,
    shift=0,
    turned=False,
    by_chance=None,
    **options,
):
    """A comparison in which all is known but the noise.

    Args:
        mass: dict from names to the share of relevance on the true feature.
        wrong: dict from names to the share of samples that are told wrong.
        spread: float, the noise of the mass, between samples.
        shift: float, the noise of the mass, between seeds.
        turned: bool, whether there is a second method that says the opposite.
        by_chance: dict from names to the share of random relevance there.
    """
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n) % 2)
    x = np.zeros((n, LENGTH), "float32")
    models, shares = {}, {}
    for column, (name, mean) in enumerate(mass.items()):
        sign = np.ones(n)
        sign[: round((wrong or {}).get(name, 0) * n)] = -1
        x[:, column] = (2 * y - 1) * sign
        models[name] = [reading(column) for _ in range(seeds)]
        for model in models[name]:
            level = mean + shift * rng.normal()
            noise = level + spread * rng.normal(size=n)
            shares[id(model)] = noise.clip(0.01, 0.99)

    def method(model, opposite=False):
        def attribute(x, batch_size):
            share = shares[id(model)][:, None]
            share = 1 - share if opposite else share
            return np.hstack([share, (1 - share) / 5 * np.ones((1, 5))])

        return attribute

    methods = {"given": method}
    if turned:
        methods["turned"] = lambda model: method(model, opposite=True)
    if by_chance is not None:
        levels = {
            id(model): by_chance[name]
            for name, of in models.items()
            for model in of
        }
        methods["random"] = lambda model: (
            lambda x, batch_size: np.full(
                x.shape, [levels[id(model)]] + 5 * [(1 - levels[id(model)]) / 5]
            )
        )

    truth = np.zeros((1, LENGTH), bool)
    truth[0, 0] = True
    return keras_sgt.compare(
        models,
        x,
        y,
        methods=methods,
        measures=["relevance_mass", "gini"],
        truth=truth,
        verbose=0,
        **options,
    )


ALL = ("traditional", "guided", "random mask")


def test_better_and_better_than_the_control():
    said = compared(dict(zip(ALL, (0.4, 0.7, 0.5)))).verdict.splitlines()
    assert said[0].startswith(
        "guided against traditional: localisation better (relevance mass on "
        "truth of given; 1 of 1); accuracy 1.000 against 1.000"
    )
    assert said[1] == (
        "Against the control, random mask: in localisation guided is better."
    )


def test_better_but_so_is_the_control():
    found = compared(dict(zip(ALL, (0.4, 0.7, 0.7))))
    assert "localisation better" in found.verdict
    assert "in localisation it did as well" in found.verdict
    found = compared(dict(zip(ALL, (0.4, 0.6, 0.7))))
    assert "in localisation it did better" in found.verdict


def test_worse():
    said = compared(dict(zip(ALL, (0.7, 0.4, 0.4)))).verdict
    assert "guided against traditional: localisation worse" in said
    assert "there is no gain that it could explain" in said


def test_better_in_one_and_worse_in_another():
    said = compared({"traditional": 0.4, "guided": 0.6}, turned=True).verdict
    assert (
        "localisation mixed (better: relevance mass on truth of given; worse: "
        "relevance mass on truth of turned)"
    ) in said


@pytest.mark.parametrize(
    ("traditional", "word"), [(0.4, "better"), (0.8, "worse")]
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_random_relevance_gains_too_is_the_networks(
    traditional, word, seeds
):
    mass = {"traditional": traditional, "guided": 0.6}
    sign = {"better": 1, "worse": -1}[word]
    by_chance = {"traditional": 0.3, "guided": 0.3 + sign * 0.15}
    found = compared(mass, by_chance=by_chance, seeds=seeds)
    line = found.verdict.splitlines()[1]
    start, _, left = line.partition(" by 0.150, beyond it given ")
    assert start == (
        "So much is the network's, not its maps', for random relevance shows "
        f"it too: relevance mass on truth {word}"
    )
    left = float(left.split(" ")[0])
    assert left == pytest.approx(0.05 * sign, abs=0.03)


def test_what_random_relevance_gains_where_less_is_better():
    y = np.arange(200) % 2
    x = np.repeat(2.0 * y[:, None] - 1, LENGTH, axis=1)
    redundant = reading(slice(None))  # needs any one of the columns
    found = keras_sgt.compare(
        {"traditional": redundant, "guided": reading(0)},
        x,
        y,
        methods=["gradient", "random"],
        measures=["deletion"],
        verbose=0,
    )
    gained = {
        method: found.part("traditional", method)["deletion/value"]
        - found.part("guided", method)["deletion/value"]
        for method in ("gradient", "random")
    }
    assert min(gained.values()) > 0.1
    assert (
        f"deletion area better by {gained['random']:.3f}, beyond it gradient "
        f"{gained['gradient'] - gained['random']:+.3f} ["
    ) in found.verdict


def test_random_relevance_that_differs_the_other_way_or_not_is_no_matter():
    mass = {"traditional": 0.4, "guided": 0.6}
    for guided in (0.3, 0.2):
        by_chance = {"traditional": 0.3, "guided": guided}
        said = compared(mass, by_chance=by_chance).verdict
        assert "localisation better" in said
        assert "random relevance" not in said


@pytest.mark.parametrize(
    ("wrong", "tolerance", "why"),
    [(0.2, 0.02, "is left out"), (0.48, 0.6, "is at or near chance")],
)
def test_a_control_that_cannot_predict_tells_nothing(wrong, tolerance, why):
    mass = dict(zip(ALL, (0.4, 0.7, 0.9)))
    wrong = {"random mask": wrong}
    said = compared(mass, wrong, accuracy_tolerance=tolerance).verdict
    assert "localisation better" in said
    assert f"The control tells nothing: random mask {why}" in said


def test_equal_within_noise():
    said = compared(dict(zip(ALL, (0.5, 0.5, 0.5)))).verdict
    assert "guided against traditional: localisation undecided" in said
    assert "better" not in said


def test_undecided_says_how_many_samples_would_do():
    found = compared({"traditional": 0.5, "guided": 0.51}, n=60, spread=0.2)
    assert "localisation undecided (about " in found.verdict
    told = found.verdict.split("about ")[1].split(" samples")[0]
    mass = [
        found.part(m, "given")["relevance_mass/per_sample"]
        for m in ("guided", "traditional")
    ]
    d = mass[0] - mass[1]
    # Of the normal distribution: 95 % confidence, 80 % power.
    expected = ((1.960 + 0.8416) * d.std(ddof=1) / d.mean()) ** 2
    assert int(told.replace(",", "")) == pytest.approx(expected, rel=0.1)


def test_at_chance():
    wrong = {"traditional": 0.48, "guided": 0.47}
    found = compared({"traditional": 0.4, "guided": 0.7}, wrong)
    assert found.verdict.startswith(
        "guided against traditional: nothing can be said of the maps"
    )
    assert "guided is at or near chance, 0.500" in found.verdict
    # Not so near, but of few samples.
    wrong = {"traditional": 0.4, "guided": 0.4}
    found = compared({"traditional": 0.4, "guided": 0.7}, wrong, n=20)
    assert "cannot be told from chance, 0.500, with 20" in found.verdict


def test_left_out_and_why():
    mass = dict(zip(ALL, (0.4, 0.7, 0.9)))
    found = compared(mass, {"guided": 0.2, "random mask": 0.01})
    line = found.verdict.splitlines()[0]
    assert "left out, its accuracy is lower than that of traditional by" in line
    assert "-0.200 [-0.256, -0.144]" in line
    assert found.best("relevance_mass") == [("random mask", "given")]
    # Who may lose as much stays in.
    found = compared(mass, {"guided": 0.2}, accuracy_tolerance=0.2)
    assert "localisation better" in found.verdict
    assert found.best("relevance_mass") == [("random mask", "given")]


def test_one_mistake_of_twenty_leaves_nobody_out():
    found = compared({"plain": 0.4, "guided": 0.7}, {"guided": 0.05}, n=20)
    assert "accuracy 0.950 against 1.000 (undecided" in found.verdict
    assert "localisation better" in found.verdict
    assert "20 samples are few" in found.verdict


def test_five_samples():
    found = compared({"plain": 0.4, "guided": 0.9}, n=5)
    # Three of one class and two of the other: 5 right ones may be luck.
    assert "cannot be told from chance, 0.600, with 5" in found.verdict
    assert "5 samples are few" in found.verdict
    found = compared({"plain": 0.4, "guided": 0.45}, n=6)
    assert "localisation undecided (about" in found.verdict
    assert max(map(len, str(found).splitlines())) <= 100


def test_ten_thousand_samples_tell_little_differences(tmp_path):
    found = compared({"plain": 0.5, "guided": 0.51}, n=10_000)
    assert "localisation better" in found.verdict
    assert "are few" not in found.verdict
    found.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 200_000


def test_one_sample_tells_nothing():
    found = compared({"plain": 0.4, "guided": 0.9}, n=1)
    assert "undecided" in found.verdict or "chance" in found.verdict
    assert "better" not in found.verdict


def test_seeds_that_scatter_are_no_gain():
    """Many samples, but trainings that differ more than the means do."""
    mass = {"plain": 0.4, "guided": 0.45}
    found = compared(mass, n=400, seeds=3, shift=0.1, spread=0.02)
    assert "localisation undecided (about" in found.verdict
    assert "seeds would tell" in found.verdict
    steady = compared(mass, n=400, seeds=3, shift=0.001, spread=0.02)
    assert "localisation better" in steady.verdict
    assert "One training of each" not in steady.verdict


def test_roles_are_told_by_names_or_by_arguments():
    found = compared({"a": 0.4, "b": 0.7, "c": 0.5})
    assert "No verdict: it is not known which" in found.verdict
    assert "No control" in found.verdict
    found = compared(
        {"a": 0.4, "b": 0.7, "c": 0.5}, traditional="a", control="c"
    )
    assert found.verdict.startswith("b against a: localisation better")
    assert "Against the control, c: in localisation b is better" in (
        found.verdict
    )
    with pytest.raises(ValueError, match=r"`control`.*\['a', 'b'\]"):
        compared({"a": 0.4, "b": 0.7}, control="c")
    with pytest.raises(ValueError, match="two models"):
        compared({"a": 0.4, "b": 0.7}, traditional="a", control="a")
    for names, expected in {
        ("plain", "guided", "random-mask control"): ("plain", 2),
        ("explainable", "guided"): (None, None),
        ("plain early", "plain", "x"): ("plain", None),
        ("plain one", "plain two"): (None, None),
    }.items():
        control = None if expected[1] is None else names[expected[1]]
        assert verdict.named("traditional", None, names) == expected[0]
        assert verdict.named("control", None, names) == control


def parts(*rows):
    return [{"m/per_sample": np.asarray(row, "float64")} for row in rows]


def test_difference_is_that_of_the_paired_t_test():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for n in (2, 5, 40):
        a, b = rng.normal(size=(2, n))
        found = summary.difference("m", parts(a), parts(b), 0.9)
        expected = stats.ttest_rel(a, b).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-5)
    # NaN, a sample that a measure leaves out, is left out.
    a, b = rng.normal(size=(2, 9))
    a[3] = np.nan
    found = summary.difference("m", parts(a), parts(b))
    expected = stats.ttest_rel(a, b, nan_policy="omit").confidence_interval()
    assert found.low == pytest.approx(expected.low, rel=1e-5)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of samples and of seeds, both drawn."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        samples = rng.normal(size=50)  # the same for all seeds
        seeds = rng.normal(0, 0.3, (4, 1))
        rows = 1 + samples + seeds + rng.normal(0, 0.5, (4, 50))
        found = summary.difference("m", parts(*rows), parts(*0 * rows))
        held += found.low <= 1 <= found.high
    assert 0.92 <= held / 400 <= 1
