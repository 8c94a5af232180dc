"""What theory predicts: mean fields, and the second moment of Adam."""
