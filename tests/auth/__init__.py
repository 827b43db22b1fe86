"""Who may do what: tokens, ownership, origins."""
