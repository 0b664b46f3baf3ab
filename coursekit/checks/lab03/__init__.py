"""Lab 3, a CNN from scratch: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab03 import loops, measuring

lab = Lab("lab03", "A CNN from scratch")
lab.question("Count a network of any depth", points=3)(measuring.q1)
lab.question("Repair a training loop", points=4)(loops.q2)
lab.question("Evaluate honestly", points=3)(measuring.q3)
lab.question("Refute a claim: a large batch in parts", points=4)(loops.q4)
lab.question("Which learning rate, and how sure?", points=3)(measuring.q5)
lab.written("q6", "Explain: modes, claims and test sets", points=3)

check, done, progress, test = lab.check, lab.done, lab.progress, lab.test
