"""Engines on Ray: takes prompts, gives back completions, and knows nothing of GSM8K or thresholds."""
