"""What is watched inside a network, and what is concluded from it."""
