"""Models side by side: tables, figures, and a page to look at."""

from keras_sgt.report.compare import compare
from keras_sgt.report.comparison import Comparison
from keras_sgt.report.figures import (
    plot_curves,
    plot_gradient_distribution,
    plot_maps,
    plot_series,
    plot_tokens,
)

__all__ = [
    "Comparison",
    "compare",
    "plot_curves",
    "plot_gradient_distribution",
    "plot_maps",
    "plot_series",
    "plot_tokens",
]
