"""Engines on Ray: takes prompts, gives back completions, and knows nothing of benchmarks or thresholds."""
