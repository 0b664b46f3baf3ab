"""Tools for those who write, publish and grade the course, on a checkout of it: ``python -m tools --help``."""
