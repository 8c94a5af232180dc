"""Numbers that others published, beside those of many seeds here: one module and its flagfiles for each source."""
