"""The report in a real browser: it shows, slides, filters, loads nothing."""

import importlib.resources
import os
import pathlib

import chromium
import keras
import numpy as np
import pytest
from chromium import settle
from keras import layers

import keras_sgt

SCREENSHOTS = os.environ.get("KERAS_SGT_SCREENSHOTS")
RNG = np.random.default_rng(0)


def classifiers(shape, head=()):
    models = {}
    for seed, name in enumerate(("traditional", "guided")):
        keras.utils.set_random_seed(seed)
        models[name] = keras.Sequential(
            [
                keras.Input(shape),
                *head,
                layers.Flatten(),
                layers.Dense(3, "softmax"),
            ]
        )
        # So that the maps of the one are clearly larger.
        weights = models[name].get_weights()
        models[name].set_weights([(1 + seed) * w for w in weights])
    return models


def images():
    y = np.arange(12) % 3
    x = RNG.random((12, 20, 20, 3), dtype="float32") * 0.3
    for image, label in zip(x, y):
        image[4:12, 2 + 5 * label : 7 + 5 * label, label] += 0.7
    truth = (x > 0.5).any(-1, keepdims=True)
    return classifiers((20, 20, 3)), x, y, {"truth": truth}


def series():
    y = np.arange(9) % 3
    t = np.linspace(0, 6, 40)[None, :, None]
    x = np.sin(t * (1 + np.arange(5))) + RNG.normal(0, 0.2, (9, 40, 5))
    truth = np.zeros(x.shape, bool)
    truth[:, 10:25, 1:4] = True
    return classifiers((40, 5)), x + truth, y, {"truth": truth}


def table():
    names = ["age", "hours", "gain <b>", "loss", "school"]
    x = RNG.normal(size=(9, 5))
    return classifiers((5,)), x, np.arange(9) % 3, {"feature_names": names}


def regression():
    """A regression of columns by name, one of them a category."""
    x = {
        "hours": RNG.normal(size=9).astype("float32"),
        "age": RNG.normal(size=9).astype("float32"),
    }
    models = {}
    for seed, name in enumerate(("traditional", "guided")):
        keras.utils.set_random_seed(seed)
        inputs = {key: keras.Input((1,), name=key) for key in x}
        mixed = layers.Concatenate()(list(inputs.values()))
        models[name] = keras.Model(inputs, layers.Dense(1)(mixed))
    return models, x, x["hours"] + 0.1, {}


def text():
    words = ["", "a", "film", "was", "really", "good", "bad", "dull"]
    words += ["<i>bold</i>", "and", "of"]
    x = RNG.integers(1, len(words), (9, 14)).astype("int32")
    x[:, 11:] = 0
    truth = np.isin(x, (5, 6, 7))
    truth[:, 0] = True
    models = {}
    for seed, name in enumerate(("traditional", "guided")):
        keras.utils.set_random_seed(seed)
        models[name] = keras.Sequential(
            [
                keras.Input((14,), dtype="int32"),
                layers.Embedding(len(words), 4),
                layers.Conv1D(6, 2, activation="relu"),
                layers.GlobalMaxPooling1D(),
                layers.Dense(2, "softmax"),
            ]
        )
    options = {"truth": truth, "token_names": words}
    return models, x, np.arange(9) % 2, options


DOMAINS = {f.__name__: f for f in (images, series, table, text, regression)}


@pytest.fixture(scope="module")
def pages(browser, tmp_path_factory):
    if browser is None:
        pytest.skip("Chromium, or playwright, is not installed")
    folder = tmp_path_factory.mktemp("pages")
    for name, make in DOMAINS.items():
        models, x, y, options = make()
        result = keras_sgt.compare(
            models, x, y, methods=["gradient", "random"], verbose=0, **options
        )
        result.save(folder / f"{name}.html")
    return folder


@pytest.fixture
def opened(browser, pages):
    """Opens a page; what the console says and what is asked for fail it."""
    with chromium.listening(browser) as opened:
        yield lambda name, *how: opened(pages / f"{name}.html", *how)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("width", [390, 1280])
def test_shows_every_sample(opened, domain, width):
    page = opened(domain, width, "dark" if width == 390 else "light")
    assert page.locator(".sample").count() == (12 if domain == "images" else 9)
    assert page.locator("table.numbers tbody tr").count() == 6
    assert page.locator(".plot svg").count() >= 1
    # Nothing but what scrolls by itself is wider than the window.
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    page.locator(".sample").last.scroll_into_view_if_needed()
    last = page.locator(".sample").last.locator(".views")
    last.wait_for(state="attached")  # filled as it comes into view
    if SCREENSHOTS:
        path = pathlib.Path(SCREENSHOTS) / f"{domain}-{width}.png"
        page.screenshot(path=path, full_page=True)


PIXELS = """canvas => Array.from(canvas.getContext("2d").getImageData(
    0, 0, canvas.width, canvas.height).data)"""


def slide(page, control, value):
    page.locator(control).fill(str(value))
    settle(page)


def test_sliders_change_the_pictures(opened):
    page = opened("images")
    figure = page.locator(".sample figure").nth(1)
    map_, overlay = figure.locator("canvas").all()
    before = [c.evaluate(PIXELS) for c in (map_, overlay)]
    slide(page, "#opacity", 0)
    assert map_.evaluate(PIXELS) == before[0]
    image = page.locator(".sample figure canvas").first.evaluate(PIXELS)
    assert overlay.evaluate(PIXELS) == image  # a clear overlay is the input
    slide(page, "#top", 10)
    shown = np.reshape(map_.evaluate(PIXELS), (400, 4))[:, :3]
    assert (shown < 255).any(1).sum() == pytest.approx(40, abs=8)
    assert page.locator("output[for=top]").text_content() == "10 %"


def test_filters_and_sorts(opened):
    page = opened("images")
    page.select_option("#class", "1")
    titles = page.locator(".sample h3").all_text_contents()
    assert len(titles) == 4
    assert all("class 1." in title for title in titles)
    assert page.locator("#count").text_content() == "4 of 12 samples"
    page.select_option("#class", "")
    counts = []
    for choice in ("0 right", "0 wrong"):
        page.select_option("#correct", choice)
        counts.append(page.locator(".sample").count())
        wrong = page.locator(".sample h3 span:first-of-type.wrong").count()
        assert wrong == (0 if choice == "0 right" else counts[-1])
    assert sum(counts) == 12
    page.select_option("#correct", "")

    def order():
        return [
            card.get_attribute("data-index")
            for card in page.locator(".sample").all()
        ]

    assert order() == [str(i) for i in range(12)]
    page.select_option("#sort", "0")
    highest_first = order()
    assert highest_first != [str(i) for i in range(12)]
    assert sorted(highest_first, key=int) == [str(i) for i in range(12)]
    values = page.evaluate("Object.values(data.sorts[0].of)[0]")
    sizes = [values[int(i)] for i in highest_first]
    assert sizes == sorted(values, reverse=True)
    page.select_option("#order", "1")
    assert [values[int(i)] for i in order()] == sorted(values)


def test_models_stand_side_by_side_and_can_be_hidden(opened):
    page = opened("images")
    page.check("#methods-1")  # random maps are folded away
    card = page.locator(".sample").first
    cells = card.locator(".views figure")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) == 4  # two methods, two models
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"] == boxes[3]["y"]
    assert boxes[0]["x"] == boxes[2]["x"] < boxes[1]["x"] == boxes[3]["x"]
    page.uncheck("#models-1")
    page.uncheck("#methods-1")
    kept = [cell for cell in cells.all() if cell.is_visible()]
    assert len(kept) == 1
    assert "traditional" in kept[0].text_content()
    # Cards that are filled later obey too.
    page.locator(".sample").last.scroll_into_view_if_needed()
    last = page.locator(".sample").last.locator(".views figure")
    last.first.wait_for(state="visible")
    assert sum(cell.is_visible() for cell in last.all()) == 1


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_verdict_comes_first(opened, domain):
    page = opened(domain)
    titles = page.locator("h1, h2").all_text_contents()
    assert titles[:2] == ["Saliency compared", "Verdict"]
    first = page.locator(".verdict li").first.text_content()
    assert first.startswith("guided against traditional: ")
    page.locator("summary").click()
    assert f"{keras.__version__} on" in page.locator("dl").text_content()


def test_a_measure_tells_what_it_means(opened):
    page = opened("images", 390)
    button = page.locator(".numbers button").nth(1)
    told = page.locator(".numbers [popover]").nth(1)
    assert not told.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert told.is_visible()
    assert told.text_content().startswith("The area under the accuracy")
    page.keyboard.press("Escape")
    assert not told.is_visible()


def test_random_maps_are_folded_away(opened):
    page = opened("images")
    card = page.locator(".sample").first
    visible = [f for f in card.locator(".views figure").all() if f.is_visible()]
    assert len(visible) == 2  # of the gradient, a model each
    page.check("#methods-1")
    visible = [f for f in card.locator(".views figure").all() if f.is_visible()]
    assert len(visible) == 4


DARKEST = """canvas => { const c = canvas.getContext("2d");
    const p = c.getImageData(0, 0, canvas.width, canvas.height).data;
    let least = 255; for (let i = 2; i < p.length; i += 4)
    least = Math.min(least, p[i - 2], p[i]); return least; }"""


def test_maps_of_a_sample_have_one_scale(opened):
    """Only the larger map reaches the darkest colour; both, by the switch."""
    page = opened("images")
    figures = page.locator(".sample").first.locator(".views figure")
    scales = page.evaluate(
        "data.models.map(m => data.samples[0].maps[m].gradient.scale)"
    )
    largest, other = (0, 1) if scales[0] > scales[1] else (1, 0)
    maps = [figures.nth(i).locator("canvas").first for i in range(2)]
    captions = [figures.nth(i).locator("figcaption") for i in range(2)]
    said = [c.text_content().split("scale ")[1] for c in captions]
    assert said[0] == said[1]
    darkest = [canvas.evaluate(DARKEST) for canvas in maps]
    assert darkest[largest] <= 33
    share = scales[other] / scales[largest]
    assert darkest[other] >= 252 - 254 * share  # of orange's blue
    page.check("#own")
    settle(page)
    assert max(canvas.evaluate(DARKEST) for canvas in maps) <= 33
    said = [c.text_content().split("scale ")[1] for c in captions]
    assert said[0] != said[1]


def test_a_map_is_seen_large_by_keyboard(opened):
    page = opened("images")
    button = page.locator(".enlarge").first
    small = button.locator("canvas").first.bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#large")
    assert dialog.locator("figcaption").all_text_contents() == [
        "input",
        "map",
        "overlay",
    ]
    copy = dialog.locator("canvas").nth(1)
    assert copy.bounding_box()["width"] > 1.2 * small
    assert copy.evaluate(PIXELS) == button.locator("canvas").first.evaluate(
        PIXELS
    )
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_truth_is_outlined(opened):
    page = opened("images")
    path = page.locator(".input path.over").first.get_attribute("d")
    assert path.count("M") == 2 * (8 + 5)  # a block of 8 x 5 pixels


def test_a_regression_has_numbers_for_classes(opened):
    page = opened("regression")
    title = page.locator(".sample h3").first.text_content()
    assert "true " in title
    assert "NaN" not in title
    assert "undefined" not in page.locator("body").inner_text()
    assert page.locator("#class, #correct").count() == 0
    names = page.locator(".bars").first.locator("td:first-child")
    assert names.all_text_contents() == ["age", "hours"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_an_accessibility_checker_finds_nothing_serious(opened, domain, scheme):
    """Names, roles and contrast, as axe-core judges them."""
    reason = "axe-core is not installed"
    package = pytest.importorskip("axe_playwright_python", reason=reason)
    axe = importlib.resources.files(package) / "axe.min.js"
    page = opened(domain, 1280, scheme)
    # It cannot tell the contrast on a shadow, which stands at the ends only.
    page.locator(".wide").evaluate_all(
        "all => all.forEach(one => { one.style.background = 'none'; })"
    )
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run().then(found => found.violations)")
    said = [
        (each["id"], each["help"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert said == []


def test_cards_out_of_view_wait(opened):
    page = opened("series")
    filled = page.locator(".sample:has(.views)")
    assert 0 < filled.count() < page.locator(".sample").count()


def test_the_table_keeps_its_names_on_a_phone(opened):
    page = opened("images", 390)
    name = page.locator(".numbers tbody th").nth(1)
    before = name.bounding_box()["x"]
    page.evaluate("document.querySelector('.wide').scrollLeft = 200")
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1)
    assert (
        page.locator(".numbers td span")
        .nth(0)
        .evaluate("span => getComputedStyle(span).display")
        == "block"
    )


def test_what_has_no_sign_says_so(opened):
    page = opened("images")
    titles = page.locator(".sample").first.locator("h4").all_text_contents()
    assert titles[0] == "gradient"
    assert titles[1] == "random magnitudes only, neither for nor against"


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_keyboard_reaches_all_controls(opened, domain):
    page = opened(domain)
    page.select_option("#sort", "0")  # there is an order only then
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.mouse.click(1, 1)  # from the top
    controls = set(
        page.locator("select, input").evaluate_all("all => all.map(c => c.id)")
    )
    assert {"models-1", "methods-0", "order"} <= controls
    assert {"sort", "sort-of", "own", "curve-method"} <= controls
    if domain != "regression":
        assert {"class", "correct"} <= controls
    reached = set()
    for _ in range(len(controls) + 16):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert controls <= reached
    if domain == "images":
        page.locator("#top").focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator("output[for=top]").text_content() == "99 %"


def test_words_tell_their_number_and_are_not_markup(opened):
    page = opened("text")
    words = page.locator(".words span")
    assert "<i>bold</i>" in words.all_text_contents()
    assert page.locator(".words i").count() == 0
    float(words.first.get_attribute("title"))
    assert page.locator(".words .human").count() > 0
    assert words.first.evaluate("w => w.style.backgroundColor").startswith(
        "rgb"
    )


def test_words_are_read_by_keyboard_and_touch(opened):
    page = opened("text")
    words = page.locator(".words").first.locator("span")
    said = page.locator(".said").first

    def told(i):
        word = words.nth(i)
        number = word.get_attribute("title")
        return f"{word.text_content()}: {number}" == said.text_content()

    words.first.focus()
    assert told(0)
    page.keyboard.press("ArrowRight")
    assert told(1)
    words.nth(4).click()
    assert told(4)
    # One stop of the Tab key for each text.
    assert page.locator(".words").first.locator("[tabindex='0']").count() == 1


def test_names_of_columns_are_text(opened):
    page = opened("table")
    assert "gain <b>" in page.locator(".bars td").all_text_contents()
    slide(page, "#top", 20)
    widths = (
        page.locator(".bars")
        .first.locator(".bar")
        .evaluate_all("bars => bars.map(b => b.style.width)")
    )
    assert sorted(width != "0%" for width in widths) == [False] * 4 + [True]


def test_the_true_box_is_drawn(opened):
    page = opened("series")
    map_ = page.locator(".sample canvas.map").first
    pixels = np.reshape(map_.evaluate(PIXELS), (-1, 4))
    assert (pixels[:, :3] == 0x11).all(1).any()
    # The signals are as wide as the map that they stand above.
    signals = page.locator(".sample canvas.signals").first.bounding_box()
    box = map_.bounding_box()
    assert (signals["x"], signals["width"]) == (box["x"], box["width"])
    assert signals["y"] + signals["height"] <= box["y"]
