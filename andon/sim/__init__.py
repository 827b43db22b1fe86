"""The sim: an OpenAI-compatible model server for demos, tests and benchmarks. It has no model; it only talks.

Owns: a Responses and a Chat Completions endpoint whose text, length, pace and faults the request chooses, and a
meter that tells, for every request, what a provider would have billed and when it saw its client go. Does not
own: anything of Andon's own contract; the sim stands where OpenAI stands, and knows nothing of sessions or stops.

`andon.sim.server` is the door. Nothing is imported here, so that naming the package costs nothing.
"""
