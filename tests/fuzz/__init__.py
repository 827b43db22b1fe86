"""Fuzz: what nobody should send, sent to a running stack over both doors."""
