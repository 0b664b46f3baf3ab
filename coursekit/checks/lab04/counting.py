"""Question 1: the parameters of a head."""

from __future__ import annotations

import numpy as np

from coursekit.checks import compare


def q1(head_parameters: object, rng: np.random.Generator) -> None:
    """Parameters of dense layers with batch norm, behind pooled maps."""
    head_parameters = compare.function(head_parameters, "head_parameters")
    settings = [(512, 1, [], 1), (128, 7, [64], 5), (64, 2, [40, 30], 3)]
    for depth in (1, 1, 2, 3):
        channels, pooled, outputs = rng.integers([40, 2, 1], [300, 8, 12]).tolist()
        settings.append((channels, pooled, rng.integers(10, 200, depth).tolist(), outputs))
    name = "what `head_parameters` returns"
    answers = [compare.as_whole(head_parameters(*setting), name) for setting in settings]

    def each(**slip: object) -> np.ndarray:
        return np.array([_count(*setting, **slip) for setting in settings])

    compare.array(
        np.array(answers),
        f"the list of counts for {len(settings)} heads",
        each(),
        {
            "the batch norms are missing: they learn a scale and a shift for each unit.": each(norm=0),
            "a batch norm's running mean and variance are no parameters: no gradient reaches them.": each(norm=4),
            "a `state_dict` holds more than parameters: also what batch norms keep, such as how many batches they have "
            "seen.": each(norm=4, tracked=1),
            "each hidden unit has a bias, and *two* numbers of its batch norm: one of the three is missing.": each(
                norm=1
            ),
            "the biases of the linear layers are missing.": each(bias=0),
            "the biases of the last layer are missing: one for each output.": each(last_bias=0),
            "the first layer sees every pixel of every pooled map, not one number per map.": each(power=0),
            "the pooled maps have a height *and* a width.": each(power=1),
            "the last layer, with the outputs, is missing.": each(last=False),
            "no batch norm follows the last layer.": each(last_norm=2),
            "each layer sees the units of the one before it, not the features.": each(chain=False),
        },
        rtol=1e-9,
        calls=[head_parameters.shown(*setting) for setting in settings],
    )


def _count(
    channels,
    pooled,
    hidden,
    outputs,
    *,
    norm=2,
    tracked=0,
    bias=1,
    power=2,
    last=True,
    last_bias=1,
    last_norm=0,
    chain=True,
) -> int:
    total, inputs = 0, channels * pooled**power
    for units in hidden:
        total += units * (inputs + bias + norm) + tracked
        inputs = units if chain else inputs
    return total + last * outputs * (inputs + bias * last_bias + last_norm)
