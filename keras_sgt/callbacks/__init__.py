"""What to change, and what to watch, while a model trains."""

from keras_sgt.callbacks.backup_and_restore import BackupAndRestore
from keras_sgt.callbacks.saliency_monitor import SaliencyMonitor
from keras_sgt.callbacks.schedules import (
    AdaptiveMaskFraction,
    KLWeightWarmup,
    MaskFractionSchedule,
)

__all__ = [
    "AdaptiveMaskFraction",
    "BackupAndRestore",
    "KLWeightWarmup",
    "MaskFractionSchedule",
    "SaliencyMonitor",
]
