"""The commands of `sweep`, one module per command; `sweep.cli` loads one only when it is called."""
