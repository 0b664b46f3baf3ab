"""The command that trains and stores the thin networks: ``python -m tools.pretraining``."""

from tools.pretraining.recipe import main

main()
