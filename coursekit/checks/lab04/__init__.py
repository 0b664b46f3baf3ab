"""Lab 4, VGG16 transfer learning: its questions. Their checks stand in modules named after what they look at."""

from coursekit.checks.lab import Lab
from coursekit.checks.lab04 import heads, inputs, photos, probe

lab = Lab("lab04", "VGG16 transfer learning")
lab.question("Count a new head", points=2)(heads.q1)
lab.question("Repair the preprocessing", points=2)(inputs.q2)
lab.question("Your own photos", points=4)(photos.q3)
lab.question("Frozen, and holding still", points=3)(heads.q4)
lab.question("Gray pictures without copies", points=3)(inputs.q5)
lab.question("A probe, and an honest interval", points=3)(probe.q6)
lab.written("q7", "Explain", points=3)

check, done, progress, test = lab.check, lab.done, lab.progress, lab.test
