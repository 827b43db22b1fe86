"""Auth: who is calling. What a connection says, how that is checked, and for how long it holds."""
