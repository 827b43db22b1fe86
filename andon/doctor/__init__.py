"""The doctor: looks at a deployment from where it is run, and says what to mend.

Owns the checks (`checks/`, one file each), what they look at (`survey`, `server`, `site`), their order (`examination`)
and how findings are told (`report`). Does not mend anything. Guarantees: what it writes is keys of its own, which it
removes, and which expire if it cannot; it shows no secret; no wait is longer than its patience, times the few steps of
a check.
"""
