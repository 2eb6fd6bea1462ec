"""What the program costs, as ratios to a reference that is measured in the same run: ``make bench``."""
