"""Andon: the contract that gateways and workers share, and the `andon` command.

Owns: what travels between client, gateway, Redis and worker. Does not own: sockets (`gateway`), models
(`worker`). Imports neither of them; `import-linter` enforces it.
"""

__version__ = "0.1.0"
