"""Node for tests: a pinned binary from PyPI, pinned packages from npm, nothing of the machine's own."""
