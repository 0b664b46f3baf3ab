"""Question 6: paths through unequal blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Hint
from coursekit.checks.lab05.shared import mistakes_of


def q6(count_paths: object, depth_in_training: object, rng: np.random.Generator) -> None:
    """Compare how a sum of independent lengths is distributed: counted, and with probabilities."""
    count_paths = compare.function(count_paths, "count_paths")
    depth_in_training = compare.function(depth_in_training, "depth_in_training")
    chains = [[2, 3], [3, 1, 2, 2, 5]] + [[*rng.integers(1, 6, n).tolist(), 2] for n in (3, 4, 6)]

    def counts(slip: str = "") -> np.ndarray:
        rows = [_spread([1] * sum(chain) if slip == "layers" else chain, 1, 1) for chain in chains]
        rows = {
            "shares": [row / row.sum() for row in rows],
            "kinds": [np.minimum(row, 1) for row in rows],
            "around": [row - (np.arange(len(row)) == 0) for row in rows],
            "sums": [np.cumsum(row) for row in rows],
        }.get(slip, rows)
        return np.concatenate(rows)

    hints = {
        "shares": "these are shares of all paths; asked for are their numbers.",
        "kinds": "several paths may have the same length: count them all.",
        "layers": "a path goes through all layers of a branch or through none of them.",
        "around": "one path goes through no branch at all.",
        "sums": "these are the paths with *at most* so many layers; asked for are those with exactly so many.",
    }
    answer = _in_one([count_paths(chain) for chain in chains], "count_paths", chains)
    calls = [count_paths.shown(chain) for chain in chains for _ in range(sum(chain) + 1)]
    name = f"the list of counts for {len(chains)} networks"
    compare.array(answer, name, counts(), mistakes_of(counts, hints), calls=calls)

    drops = [rng.uniform(0.05, 0.9, len(chain)).round(3).tolist() for chain in chains]

    def chances(slip: str = "") -> np.ndarray:
        rows = []
        for chain, p in zip(chains, map(np.array, drops), strict=True):
            ways = {"kept": (1 - p, p), "mean": (p.mean(), 1 - p.mean()), "half": (0.5, 0.5), "counts": (1, 1)}
            ways |= {"no drop": (1, 1 - p), "no keep": (p, 1)}
            rows.append(_spread(chain, *ways.get(slip, (p, 1 - p))))
        return np.concatenate(rows)

    hints = {
        "kept": "`drop` is the probability that a branch is left out; here it is kept with it.",
        "mean": "each block has a probability of its own, not the mean of all.",
        "half": "these are the shares of paths, as if each branch were left out half of the time.",
        "counts": "these are the numbers of paths, not probabilities.",
        "no drop": "the probabilities do not add up to 1: what of the blocks that are left out?",
        "no keep": "the probabilities do not add up to 1: what of the blocks that are kept?",
    }
    pairs = list(zip(chains, drops, strict=True))
    answer = _in_one([depth_in_training(*pair) for pair in pairs], "depth_in_training", chains)
    calls = [depth_in_training.shown(*pair) for pair in pairs for _ in range(sum(pair[0]) + 1)]
    name = f"the list of probabilities for {len(chains)} networks"
    compare.array(answer, name, chances(), mistakes_of(chances, hints), calls=calls)


def _spread(layers: Sequence[int], around: float | np.ndarray, through: float | np.ndarray) -> np.ndarray:
    """Multiply out: for each block the weight around its branch, plus that through its layers."""
    result = np.ones(1)
    weights = (np.broadcast_to(weight, len(layers)) for weight in (around, through))
    for length, out, into in zip(layers, *weights, strict=True):
        result = np.convolve(result, [out, *[0] * (length - 1), into])
    return result


def _in_one(answers: list, name: str, chains: list[list[int]]) -> np.ndarray:
    rows = []
    for answer, chain in zip(answers, chains, strict=True):
        shown, layers = f"`{name}` for branches of {chain} layers", sum(chain)
        shapes = {
            (len(chain) + 1,): f"{shown}: the length of a path is the number of its layers, not of its blocks.",
            (2 ** len(chain),): f"{shown} has an element for each path; asked for is one for each length.",
            (layers,): f"{shown} has {layers} elements: but a path may have from 0 to {layers} layers.",
            (): f"`{name}` must return a list, not {compare.kind(answer)}.",
        }
        if isinstance(answer, str | dict):
            raise Hint(f"`{name}` must return a list of numbers, not {compare.kind(answer)}.")
        rows.append(compare.as_floats(answer, f"what `{name}` returns"))
        if rows[-1].shape != (layers + 1,):
            raise Hint(shapes.get(rows[-1].shape, f"{shown} has shape {list(rows[-1].shape)}."))
    return np.concatenate(rows)
