"""Reliability: each promise of a stop and of an ending, with everything else that could keep it taken away."""
