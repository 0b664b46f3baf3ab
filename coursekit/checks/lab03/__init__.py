"""Lab 3, a CNN from scratch: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab03 import loops, measuring

lab = Lab("lab03", "A CNN from scratch")
lab.question(
    "What the loss tells the logits",
    "the softmax turns the logits of an image into shares; the loss is minus the logarithm of the true class's share.",
    "the gradient of one image is its shares, minus 1 at the true class; that of the mean is divided by N.",
    "`np.exp(1000)` is infinite. What happens to the shares if you subtract the same number from all logits?",
    points=3,
    truth="zero: what the true class gains, the others lose",
)(measuring.q1)
lab.question(
    "Repair a training loop",
    "train on one batch for one step, then for two: from which step on is something wrong?",
    "look for what is missing (two lines), what is done twice, which images are left out, and what is averaged.",
    "`F.cross_entropy` wants logits, `range(0, n, step)` goes up to n, and a loss has to become a number: `.item()`.",
    points=4,
)(loops.q2)
lab.question(
    "Evaluate honestly",
    "go through the classes that occur in `labels`, and take the error rate among the images of each.",
    "solve half_width = 1.96 * sqrt(p (1 - p) / n) for n. Which way must it be rounded?",
    points=3,
    truth="four times as many",
)(measuring.q3)
lab.question(
    "Refute a claim: a large batch in parts",
    "the gradient of a mean over 8 images, in parts of 4 and 4: write both sums down. And with 5 and 3?",
    "give each part's mean loss the weight of its share of the images, before `backward`.",
    "which layer computes something from *all* images of a batch?",
    points=4,
    truth="8; and with two parts 1.5 and 3, so that no single factor can repair it",
)(loops.q4)
lab.question(
    "Which learning rate, and how sure?",
    "a list in a list: `[[accuracy_of(rate, seed) for seed in range(3)] for rate in rates]`.",
    "`np.mean(accuracies, axis=1)` is the mean of each rate; draw it with `axis.semilogx`, and the runs as dots.",
    points=3,
    truth="whatever your figure shows: most often between 0.01 and 0.3",
)(measuring.q5)
lab.written("q6", "Explain: modes, claims and test sets", points=3)

check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test
