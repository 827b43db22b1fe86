"""Size: how much is sent in a run, and from which seed.

`ANDON_FUZZ=full` is the full run (`make fuzz`); else it is a slice for every run of the tests. The slice has a seed of
its own, so that it is the same each time; a full run draws a new one, and prints it. `ANDON_FUZZ_SEED` repeats one.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import hypothesis

FULL: Final = os.environ.get("ANDON_FUZZ") == "full"
SEED: Final = int(os.environ.get("ANDON_FUZZ_SEED") or (random.SystemRandom().randrange(2**32) if FULL else 5))
# At least as many inputs has a full run, over all that is fuzzed.
FULL_INPUTS: Final = 20_000

# What was sent so far, by kind; and what came back, for the report.
sent: Final[Counter[str]] = Counter()
answered: Final[Counter[str]] = Counter()

F = TypeVar("F", bound=Callable[..., Any])


def examples(full: int, slice_: int) -> Callable[[F], F]:
    """Set how many examples a test draws, and from what seed."""

    def decorate(test: F) -> F:
        configured = hypothesis.settings(
            max_examples=full if FULL else slice_,
            deadline=None,
            database=None,  # a found input becomes a test of its own
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
        )
        return hypothesis.seed(SEED)(configured(test))

    return decorate
