"""One member: its model, its step, when it stops, which examples it sees."""
