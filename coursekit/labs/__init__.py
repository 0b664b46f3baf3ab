"""Labs: for each notebook a set of questions with checks; ``from coursekit.labs import lab01``, ``lab01.check("q1")``.

The check of a question is a plain function (see `coursekit.labs.lab`). It serves the student's instant check, otter's
tests, and grading, where it runs in another process than the answer and with other inputs.
"""
