"""How faithful an attribution is: the field's measures, with controls.

Attributions are NumPy arrays from anywhere; models are asked through
`predict`. Every measure returns a `Measure`. All but `adversarial_accuracy`,
which needs the model's gradient, run on NumPy alone; docstrings name the
measure of Quantus, Captum or scikit-learn that gives the same values, and
tests hold them to it.
"""

from keras_sgt.evaluation.consistency import (
    completeness,
    infidelity,
    max_sensitivity,
)
from keras_sgt.evaluation.language import (
    IOUF1,
    aopc,
    comprehensiveness,
    sufficiency,
    token_auprc,
    token_iou_f1,
)
from keras_sgt.evaluation.localisation import (
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from keras_sgt.evaluation.perturbation import (
    accuracy_drop,
    deletion,
    insertion,
    output_change,
    remove_and_retrain,
)
from keras_sgt.evaluation.randomization import (
    label_randomization,
    parameter_randomization,
)
from keras_sgt.evaluation.results import Measure
from keras_sgt.evaluation.robustness import adversarial_accuracy
from keras_sgt.evaluation.sparsity import gini, hoyer
from keras_sgt.evaluation.statistics import (
    Interval,
    PairedComparison,
    across_seeds,
    bootstrap_interval,
    paired_comparison,
)
from keras_sgt.evaluation.time_series import (
    Areas,
    WeightedPrecisionRecall,
    weighted_precision_recall,
)

__all__ = [
    "IOUF1",
    "Areas",
    "Interval",
    "Measure",
    "PairedComparison",
    "WeightedPrecisionRecall",
    "accuracy_drop",
    "across_seeds",
    "adversarial_accuracy",
    "aopc",
    "bootstrap_interval",
    "completeness",
    "comprehensiveness",
    "deletion",
    "gini",
    "hoyer",
    "infidelity",
    "insertion",
    "label_randomization",
    "max_sensitivity",
    "output_change",
    "paired_comparison",
    "parameter_randomization",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "remove_and_retrain",
    "sufficiency",
    "token_auprc",
    "token_iou_f1",
    "weighted_precision_recall",
]
