"""Lab 4, VGG16 transfer learning: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab04 import heads, inputs, series

lab = Lab("lab04", "VGG16 transfer learning")
lab.question(
    "The most similar photo",
    "divide each row of features by its norm: then the cosine of two photos is the sum of their products.",
    "`test @ train.T` holds all of them, one row for each test photo; which label belongs to the largest of a row?",
    points=2,
    truth="100 %: each photo is most similar to itself",
)(series.q1)
lab.question(
    "Repair the preprocessing",
    "follow one pixel: is it still red, green, blue of the same place after `reshape`?",
    "mean and std are those of pixels in 0..1: what must come before them? And why `flip`?",
    points=2,
    truth="the picture shows the scrambled pixels; wrong colours or a wrong scale look like a photo all the same",
)(inputs.q2)
lab.question(
    "Keep a series together",
    "`name.rsplit('_', 1)[0]` is the series of a photo; draw among the series, not among the photos.",
    "`sorted(set(...))` lists the series in the same order after each restart; a generator with the seed draws.",
    "then go through all photos: its position belongs to the test part if its series was drawn.",
    points=3,
    truth="it rises: nearly every test photo then has a twin in the training part",
)(series.q3)
lab.question(
    "Frozen, and holding still",
    "`requires_grad_(False)` stops the gradients; batch norm and dropout go by the *mode*, which `train()` sets.",
    "a module of your own around the body may have a `train` of its own: it is called with `mode`.",
    "`super().train(False)` in it leaves the body in eval mode; see to the mode before the first call, too.",
    points=3,
    truth="a `train` of the body's own, which always sets eval mode",
)(heads.q4)
lab.question(
    "Gray pictures without copies",
    "write the convolution of three channels down with a_c gray + b_c in place of channel c; collect what meets gray.",
    "scales: `(weight * scale[:, None, None]).sum(1, keepdim=True)`. What is left does not depend on gray: a bias.",
    "a padded zero stands for gray = 0 in the new layer; in the old one it stood for channel = 0.",
    points=3,
    truth="the scales change the weights, the shifts the biases",
)(inputs.q5)
lab.question(
    "An interval that knows of series",
    "for each series count its photos and how many of them are right: these two numbers are all you need.",
    "`rng.integers(0, S, (draws, S))` draws S of S series with replacement, `draws` times.",
    "the accuracy of a draw is the sum of its right photos over the sum of its photos; then `np.percentile`.",
    points=3,
    truth="wider: photos of one thing are right or wrong together, and say less than as many things",
)(series.q6)
lab.written("q7", "Explain", points=3)

check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test
