"""Lab 5, ResNet blocks: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab05 import blocks, costs, gradients

lab = Lab("lab05", "ResNet blocks")
lab.question(
    "Pad for any kernel and stride",
    "how many positions must there be? From the first to the last of them are `(positions - 1) * stride` pixels.",
    "add what the kernel reaches over from its last position, take the image's pixels away: this is missing in all.",
    "half of it, rounded down, comes first; never less than 0; and `F.pad` begins with the width.",
    points=2,
    truth="8 pixels: none at the left, one at the right; 9 pixels: one on each side",
)(costs.q1)
lab.question(
    "Repair a residual block",
    "follow the sizes of branch and shortcut for `Block(8, 8, 2)` on paper: where must there be a stride, where not?",
    "compare the formula with `forward`: which norm, which ReLU, and what is added to what?",
    "`x += branch` writes into the tensor that came in, if the shortcut is `x` itself.",
    points=3,
    truth="the branch has 3 x 3 (two strides), the shortcut 11 x 10",
)(blocks.q2)
lab.question(
    "What a block costs",
    "write a list of its convolutions: inputs, outputs, kernel, and at how many positions each works.",
    "each has i * o * k * k weights, and a batch norm with two numbers for each output.",
    "the shortcut is one more convolution of 1 x 1 if the stride is not 1, or inputs and outputs of the block differ.",
    points=3,
    truth="nearly as many: 70,400 against 73,984",
)(costs.q3)
lab.question(
    "ResNet9, another way round",
    "write one class for the residual layer: x + f(x), with two units of batch norm, ReLU, convolution in f.",
    "then go through the table row by row; pooling stands *in front of* the convolution or residual layer of its row.",
    "behind the last residual layer: batch norm, ReLU, mean over both axes of each map, linear layer.",
    points=4,
    truth="sums of many terms that grow from layer to layer, on no common scale",
)(blocks.q4)
lab.question(
    "Follow the gradient",
    "go through the parts in a loop, and keep what goes *into* each; the images need `requires_grad_()`.",
    "`torch.autograd.grad(loss, inputs)` gives all gradients at once; `.norm()` is over all elements.",
    points=3,
    truth="to less than a half at each part; 20 parts leave less than a millionth",
)(gradients.q5)
lab.question(
    "Paths of unequal blocks",
    "begin with one path of 0 layers. What does a block of 2 layers make of each path that there is?",
    "`np.convolve(counts, [1, 0, 1])`: around, or through two layers. For a block of three layers?",
    "in place of 1 and 1 stand probabilities: `drop` for the way around, 1 - `drop` for the way through.",
    points=2,
    truth="convolve it with [1, 1]",
)(costs.q6)
lab.written("q7", "Explain: what skips do, and what they do not", points=3)

check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test
