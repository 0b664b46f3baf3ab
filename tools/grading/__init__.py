"""Grading: each submission runs confined in a process of its own, and is judged from outside.

`submissions` finds and reads what was handed in, `worker` runs a notebook's cells under the limits of `confine`,
`judge` asks it for its answers and runs the checks, `classroom` does so for a whole folder, `feedback` writes pages.
"""
