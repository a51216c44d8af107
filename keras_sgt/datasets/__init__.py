"""Data whose truth is known, and loaders of what the examples use."""

from keras_sgt.datasets.boxes import LAYOUTS, PROCESSES, boxes
from keras_sgt.datasets.files import Dataset, Split
from keras_sgt.datasets.loaders import NAMES, load
from keras_sgt.datasets.null_blocks import null_blocks

__all__ = [
    "LAYOUTS",
    "NAMES",
    "PROCESSES",
    "Dataset",
    "Split",
    "boxes",
    "load",
    "null_blocks",
]
