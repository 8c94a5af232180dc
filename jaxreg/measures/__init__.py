"""What is read off labelled results."""
