"""What is claimed about speed, reproducible by one command each."""
