"""Lab 5, ResNet blocks: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab05 import block, counting, gradients, paths, resnet9

lab = Lab("lab05", "ResNet blocks")
lab.question("Pad for any kernel and stride", points=2)(counting.q1)
lab.question("Repair a residual block", points=3)(block.q2)
lab.question("What a block costs", points=3)(counting.q3)
lab.question("ResNet9, another way round", points=4)(resnet9.q4)
lab.question("Follow the gradient", points=3)(gradients.q5)
lab.question("Paths of unequal blocks", points=2)(paths.q6)
lab.written("q7", "Explain: what skips do, and what they do not", points=3)

check, done, progress, test = lab.check, lab.done, lab.progress, lab.test
