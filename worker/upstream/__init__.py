"""The upstream adapters: a model server's stream in, `andon.pieces` out.

Owns: the HTTP connection to the model (`client`), the reading of its event stream (`sse`), the translation of its
events (`responses`, `chat`) and of its failures (`errors`, `status`, `failures`). Does not own: retries, numbering,
or what a stop means; the worker's pump and scribe do. `source` is the door they use.
"""
