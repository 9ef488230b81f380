"""Faults of every kind, drawn at random, while sweeps run and between: see `python -m tests.faults --help`."""
