"""Training, as notebook 03 built it: the loop, what watches over it, and what is asked of the result.

`loop` holds `fit`, `evaluate`, `predict` and `lr_range_test`; the other modules hold what it is made of: batches, the
forward pass, optimizers and schedules, the state of a run, checkpoints, and the history it leaves behind.
"""

from coursekit.training.checkpoints import CheckpointError
from coursekit.training.history import History
from coursekit.training.loop import evaluate, fit, lr_range_test, predict

__all__ = ["CheckpointError", "History", "evaluate", "fit", "lr_range_test", "predict"]
