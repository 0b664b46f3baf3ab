"""Lab 6, colorization: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab06 import colours, layers, mixture, sizes

lab = Lab("lab06", "Colorization")
lab.question(
    "The way back to the same size",
    "follow the sizes: behind a convolution there are `free // stride + 1` pixels. What is `free`?",
    "pixels that no position reaches are lost: these the decoder must add. How many are left over?",
    "the decoder undoes the encoder's last layer first, so that the list is turned round.",
    points=2,
    truth="0 leads back to 7, 1 to 8, and 0 to 9",
)(sizes.q1)
lab.question(
    "Paint a panorama back",
    "start with an image of zeros; for each number of y put down the kernel times that number, and add.",
    "number (i, j) puts its kernel down with the corner at row i * stride, column j * stride.",
    "`% shape[1]` brings a column beyond the edge back to the left.",
    points=3,
    truth="[[2, 3, 0, 0, 1]]",
)(layers.q2)
lab.question(
    "Checkerboards, foreseen and repaired",
    "element m of the kernel lands `m * dilation` pixels behind its corner; corners lie at multiples of the stride.",
    "so it counts for the remainder `m * dilation % stride`; rows and columns multiply.",
    "enlarge first (`nn.Upsample`), and convolve then; a and b need both signs at the end.",
    points=3,
    truth="with dilation 2 it is uneven (every count but one is 0), with 3 it is even",
)(layers.q3)
lab.question(
    "Repair the conversions",
    "convert a white image there: L must be 100. And a red one: are a and b where they should be?",
    "`reshape` cuts the numbers into other pieces: which function moves an axis? `rgb2lab` divides bytes by itself.",
    "the way back multiplies L by 100 and adds 50; a and b have another factor; round before `.byte()`.",
    points=3,
    truth="photos must survive the way there and back; then look at the numbers of white and red on the way",
)(colours.q4)
lab.question(
    "Better than one colour?",
    "the constant is one number for a and one for b: the mean over images, rows and columns of the training set.",
    "`difference > threshold` is true or false for each pixel; its mean is a share.",
    points=3,
    truth="yes, where the test images are grayer than the training images",
)(colours.q5)
lab.question(
    "Why brown, and what else?",
    "the mean has the least squared error; the median the least absolute one, for a and for b by themselves.",
    "weighted median: sort the colours by a, add up their shares in this order; where does the sum pass one half?",
    "`order = a.argsort()`, `np.cumsum(shares[order])`; for the annealed mean divide `shares ** (1 / T)` by its sum.",
    points=3,
    truth="t = 0.3 for the squared error (the mean), t = 0 for the absolute one (the median)",
)(mixture.q6)
lab.written("q7", "Explain: what may one claim?", points=3)

check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test
