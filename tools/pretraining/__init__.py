"""Trains the thin networks that the course stores: ``python -m tools.pretraining`` runs it again."""
