"""The page of a search: one HTML file that needs nothing else."""

import base64
import hashlib
import importlib.resources

from keras_sgt.searching import figures
from keras_sgt.searching import measures as known_measures
from keras_sgt.searching.confirmation import CONTROL, GUIDED, TRADITIONAL
from keras_sgt.searching.result import png
from keras_sgt.version import __version__


def render(search, title="Which guidance works"):
    """The page, as HTML."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "The page needs Jinja2: pip install jinja2."
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_sgt.searching", "page_files"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    files = importlib.resources.files("keras_sgt.report")
    style = (files / "page_files" / "page.css").read_text(encoding="utf-8")
    style += "img { max-width: 100%; background: #fff; }\n"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    maps = figures.maps(search)
    return environment.get_template("search.html").render(
        title=title,
        about=_about(search),
        verdict=search.verdict,
        confirmed=_confirmed(search.confirmation),
        front=png(search.figure()),
        maps=maps and png(maps),
        measures=search.plan.measures,
        lines=search.table(),
        style=style,
        style_hash=f"sha256-{digest}",
        version=__version__,
    )


def _about(search):
    plan = search.plan
    titles = ", ".join(known_measures.MEASURES[m].title for m in plan.measures)
    return (
        f"{len(search.rows)} settings of {len(plan.candidates)} guidances, "
        f"{plan.recipe.epochs} epochs each. Faithfulness is measured by: "
        f"{titles}. Chosen by {len(plan.chosen_by.x):,} samples, confirmed "
        f"with {len(plan.confirmed_by.x):,} others."
    )


def _confirmed(confirmation):
    """Lines of the confirmation's table: training, accuracy, faithfulness."""
    if confirmation is None:
        return []
    return [
        (
            training,
            f"{confirmation.accuracies[training].mean():.4f}",
            f"{confirmation.values[training].mean():+.3f}",
            against and confirmation.gain(GUIDED, over=training).text(),
        )
        for training, against in (
            (GUIDED, ""),
            (TRADITIONAL, True),
            (CONTROL, True),
        )
    ]
