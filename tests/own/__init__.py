"""A source of one's own: what it may yield, how it is stopped, and what becomes of one that will not be."""
