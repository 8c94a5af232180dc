"""Pure functions on plain arguments: activations, initial weights, losses, penalties, projections, dropout."""
