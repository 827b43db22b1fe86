"""The floor: the least that the hops of a stop, and the two ends of a token, can cost on this machine. C.

`floor gateway` and `floor worker` do the hops of a stop and nothing else: a WebSocket frame, one script that marks and
publishes, one socket closed. `floor ends` reads the model server's stream and writes WebSocket frames, with nothing
between.
"""
