"""What may pass: threshold rules, contracts, and the verdict on a score."""
