"""What is asked for: hyperparameters, data, run, the axes of a sweep, and the flags that spell them."""
