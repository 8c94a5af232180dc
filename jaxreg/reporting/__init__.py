"""What is drawn, printed and written about results."""
