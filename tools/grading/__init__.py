"""Grading: each submission runs in a sandbox of its own, and is judged from outside.

`classroom` grades a whole folder: `submissions` finds and reads the files, `judge` starts a `sandbox` for each, in
which `worker` runs the cells and answers what the checks ask; `pages` and `gradebook` write pages and tables.
`gradescope` grades one submission there.
"""
