"""Admin: what operators see and do: lists, the live feed, broadcast stops, the audit."""
