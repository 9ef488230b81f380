"""The commands of `sweep`, one module per command; `group` loads one only when it is called."""
