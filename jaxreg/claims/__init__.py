"""What an experiment asserts, judged from its results."""
