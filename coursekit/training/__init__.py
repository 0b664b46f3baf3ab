"""Training, as notebook 03 built it: the loop, what watches over it, and what is asked of the result."""

from coursekit.training.checkpoints import CheckpointError
from coursekit.training.history import History
from coursekit.training.loop import evaluate, fit, predict
from coursekit.training.optimizers import lr_range_test

__all__ = ["CheckpointError", "History", "evaluate", "fit", "lr_range_test", "predict"]
