"""Training, as notebook 03 built it: the loop, what watches over it, and what is asked of the result.

`loop` holds `fit`, `evaluate` and `predict`, `rangetest` `lr_range_test`; the other modules hold what they are made
of: batches, the forward pass, optimizers and schedules, the state of a run, checkpoints, and the history.
"""

from coursekit.training.checkpoints import CheckpointError
from coursekit.training.history import History
from coursekit.training.loop import evaluate, fit, predict
from coursekit.training.rangetest import lr_range_test

__all__ = ["CheckpointError", "History", "evaluate", "fit", "lr_range_test", "predict"]
