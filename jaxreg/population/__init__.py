"""Many members in one compiled program."""
