"""Naive: token streaming as tutorials have it.

See README.md beside this file. `gateway` and `worker` run in the peers' environment, `contender` in the bench's.
"""
