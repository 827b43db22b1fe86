"""agno's stop: a flag in Redis that the run reads at each event.

See README.md beside this file. `cancellation` and `server` run in the peers' environment, `contender` in the bench's.
"""
