"""The commands of `sweep`, a module each; `sweep.cli` loads one only when it is called."""
