"""Open WebUI's stop: a command published to every replica, and `task.cancel()` where the task is.

See README.md beside this file. `tasks` and `server` run in the peers' environment, `contender` in the bench's.
"""
