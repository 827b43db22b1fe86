"""Claims that are not the present one: what fencing must refuse."""

import msgspec

from andon.replies import Claimed
from tests.contract.jobs import OTHER_WORKER


def fenced_variants(job: Claimed) -> dict[str, Claimed]:
    """Return the same job as another worker, and as another generation, would write it."""
    return {
        "worker": msgspec.structs.replace(job, worker_id=OTHER_WORKER),
        "generation": msgspec.structs.replace(job, generation=job.generation + 1),
    }
