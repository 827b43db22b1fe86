"""Limits: what one principal, one tenant, one create may have."""
