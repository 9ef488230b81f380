"""The engines that ship, a module or package each, and what they share."""
