"""A source of one's own: any async generator function as the model, named `package.module:function`.

Owns the finding of the function (`function`), the reading of what it yields (`events`), one run of it (`stream`), and
those that would not end (`source`). docs/sources.md is the contract with whoever writes such a function.
"""
