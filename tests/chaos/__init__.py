"""Chaos: real processes under load, something broken among them, and an account of what became of every response."""
