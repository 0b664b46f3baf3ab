"""Grading: each submission runs in a sandbox of its own, and is judged from outside.

`submissions` finds and reads what was handed in, `sandbox` builds the walls, `worker` runs a notebook's cells inside of
them, `judge` asks it for its answers and runs the checks, `classroom` does so for a whole folder, `records` reads and
writes tables, `feedback` writes pages, `gradescope` grades there.
"""
