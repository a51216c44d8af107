"""What a search found."""

import base64
import dataclasses
import html
import io

from keras_sgt import files
from keras_sgt.searching.confirmation import (
    GUIDED,
    NOTHING,
    TRADITIONAL,
    Confirmation,
)
from keras_sgt.searching.plan import Plan, title


@dataclasses.dataclass(frozen=True)
class Row:
    """A trial: its number, `"complete"` or `"pruned"`, settings, outcome."""

    number: int
    state: str
    params: dict
    outcome: dict


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """What `keras_sgt.search` found.

    Args:
        plan: what was searched.
        rows: list of the trials, `Row`.
        reference: dict, traditional training of the trials' seed.
        chosen: the `Row` that was confirmed, or `None`.
        confirmation: `Confirmation`, or `None`.
        models: dict from `"guided"`, `"traditional"` and `"control"` to
            trained models, those of this process.
        interrupted: bool, whether it was stopped by the user.
    """

    plan: Plan
    rows: list
    reference: dict | None
    chosen: Row | None
    confirmation: Confirmation | None
    models: dict
    interrupted: bool

    @property
    def wins(self):
        """Whether a guidance beat traditional training and its control."""
        return self.confirmation is not None and self.confirmation.wins

    @property
    def best(self):
        """A trained `SaliencyGuidedModel`: of the setting that wins, else
        traditional; `None` where the search was stopped before that. Its
        `model` needs no keras_sgt to be saved and served.
        """
        return self.models.get(GUIDED if self.wins else TRADITIONAL)

    @property
    def settings(self):
        """The parameters of the best trial, a dict; `None` without any."""
        return None if self.chosen is None else dict(self.chosen.params)

    @property
    def guidance(self):
        """The guidances of the best trial, new ones; `None` without any."""
        if self.chosen is None:
            return None
        return self._setting().guidances()

    @property
    def verdict(self):
        """The result in a sentence or two."""
        if self.confirmation is not None:
            stopped = " (Stopped early.)" if self.interrupted else ""
            return self.confirmation.sentence() + stopped
        if self.interrupted:
            promising = ""
            if self.chosen is not None:
                promising = (
                    f" The most promising so far: {title(self.chosen.params)}."
                )
            return f"Stopped before anything was confirmed.{promising}"
        points = 100 * self.plan.tolerance
        return (
            f"{NOTHING} No trial was more faithful than it within "
            f"{points:g} points of its accuracy."
        )

    def __str__(self):
        return self.verdict

    def _setting(self):
        from optuna.trial import FixedTrial

        return self.plan.setting(FixedTrial(self.chosen.params))

    def table(self):
        """One dict for each trial, the most faithful first."""
        found = [
            {
                "trial": row.number,
                "state": row.state,
                "setting": title(row.params),
                "accuracy": row.outcome["accuracy"],
                "accuracy_lost": row.outcome["lost"],
                "faithfulness": row.outcome["faithfulness"],
                **row.outcome["means"],
                "seconds": row.outcome["seconds"],
                **row.params,
            }
            for row in self.rows
        ]
        return sorted(
            found, key=lambda line: (line["state"], -line["faithfulness"])
        )

    def to_frame(self):
        """The trials as a `pandas.DataFrame`, the most faithful first.

        Raises:
            ImportError: without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "`to_frame` needs pandas: pip install pandas. `table()` gives "
                "the same as a list of dicts."
            ) from error
        return pd.DataFrame(self.table())

    def figure(self, ax=None):
        """Accuracy against faithfulness of all trials, with their front.

        Args:
            ax: Matplotlib axes. Defaults to new ones.

        Returns:
            The Matplotlib figure.

        Raises:
            ImportError: without Matplotlib.
        """
        from keras_sgt.searching import figures

        return figures.front(self, ax)

    def save(self, path):
        """Writes one HTML page that loads nothing from anywhere.

        Args:
            path: of the file.

        Raises:
            ImportError: without Jinja2 or Matplotlib.
        """
        from keras_sgt.searching import page

        files.write(path, page.render(self))

    def _repr_html_(self):
        figure = self.figure()
        lines = "".join(
            f"<tr><td>{html.escape(line['setting'])}</td>"
            f"<td>{line['accuracy']:.3f}</td>"
            f"<td>{line['faithfulness']:+.3f}</td></tr>"
            for line in self.table()[:5]
        )
        return (
            f"<p><strong>{html.escape(self.verdict)}</strong></p>"
            f'<img alt="Accuracy against faithfulness" src="{png(figure)}">'
            "<table><tr><th>setting</th><th>accuracy</th><th>faithfulness</th>"
            f"</tr>{lines}</table>"
        )


def png(figure):
    """A Matplotlib figure as a data URL; the figure is closed."""
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
