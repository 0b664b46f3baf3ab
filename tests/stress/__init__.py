"""Stress tests: scripts that do to the course what nobody hopes for, and count what it survives.

Each is run as ``python tests/stress/NAME.py`` and ends in one line of JSON, from which the page of measured results
is written; ``make stress`` runs all. A smaller version of each runs with the tests: fewer kills and draws, and no
notebooks.
"""
