"""How long a command takes from the start of its process to its first step, and to its first check after that."""
