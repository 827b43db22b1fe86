"""The checks: one file each, each with one `CHECK`, or two that look at the same thing."""
