"""A sweep while it happens, and the folder that keeps it."""
