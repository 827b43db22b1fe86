"""python-socketio with its Redis manager, the stream run by the process that was asked.

See README.md beside this file. `server` runs in the peers' environment, `contender` in the bench's.
"""
