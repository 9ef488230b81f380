"""Accuracy sweeps for LLM inference engines: plan, run, measure, and derive thresholds one can defend."""

__version__ = "0.1.0"
