"""Andon's own shape in the plain way: SDK objects, `task.cancel()`, and two Redis commands a token.

See README.md beside this file. `gateway` and `worker` run in the peers' environment, `contender` in the bench's.
"""
