"""Labs: for each notebook questions with checks; ``from coursekit.checks import lab01``, ``lab01.check("q1")``.

The check of a question is a plain function (see `coursekit.checks.lab`). It serves the student's instant check, otter's
tests, and grading, where it runs in another process than the answer and with other inputs. A lab is one module, or, if
that grows too long to read, a folder whose ``__init__`` lists the questions in their order, with hints in steps and the
answer to the question's *Predict*. Another lab needs nothing but a module ``labNN`` here and a master of that name.
"""
