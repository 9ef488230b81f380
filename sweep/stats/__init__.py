"""Numbers from samples and scores, and nothing else. Pure."""
