"""Tools for those who write and run the course: ``python -m tools --help``.

They need the package's ``dev`` extra and work on a checkout of the course. No other module of the package imports them.
"""
