from worker.lookout import Lookout, blind


def test_it_looks_after_every_few_pieces_of_work() -> None:
    """Often enough for a stop, seldom enough to cost nothing."""
    looks: list[int] = []
    lookout = Lookout(lambda: looks.append(1), every=3)
    for _ in range(8):
        lookout()
    assert len(looks) == 2


def test_the_plain_version_looks_at_nothing() -> None:
    """The loop brings every stop in its turn."""
    blind()
