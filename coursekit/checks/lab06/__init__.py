"""Lab 6, colorization: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab06 import colours, layers, mixture, sizes

lab = Lab("lab06", "Colorization")
lab.question("The way back to the same size", points=2)(sizes.q1)
lab.question("A matrix that goes round", points=3)(layers.q2)
lab.question("Checkerboards, foreseen and repaired", points=3)(layers.q3)
lab.question("Repair the conversions", points=3)(colours.q4)
lab.question("Better than one colour?", points=3)(colours.q5)
lab.question("Why brown, and what else?", points=3)(mixture.q6)
lab.written("q7", "Explain: what may one claim?", points=3)

check, done, progress, test = lab.check, lab.done, lab.progress, lab.test
