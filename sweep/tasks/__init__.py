"""What is asked, and how an output is scored."""
