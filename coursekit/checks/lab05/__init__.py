"""Lab 5, ResNet blocks: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab05 import blocks, costs, gradients

lab = Lab("lab05", "ResNet blocks")
lab.question("Pad for any kernel and stride", points=2)(costs.q1)
lab.question("Repair a residual block", points=3)(blocks.q2)
lab.question("What a block costs", points=3)(costs.q3)
lab.question("ResNet9, another way round", points=4)(blocks.q4)
lab.question("Follow the gradient", points=3)(gradients.q5)
lab.question("Paths of unequal blocks", points=2)(costs.q6)
lab.written("q7", "Explain: what skips do, and what they do not", points=3)

check, done, progress, test = lab.check, lab.done, lab.progress, lab.test
