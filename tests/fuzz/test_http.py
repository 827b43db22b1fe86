"""HTTP takes whatever the document allows and refuses what it does not; each answer is as published."""

import asyncio

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.aftermath import check_a_stop_works, check_nothing_leaked, descriptors
from tests.fuzz.requests import ask, cases, load
from tests.fuzz.size import examples
from tests.stack.stack import Stack


@pytest.mark.timeout(2400)
def test_every_request_is_answered_as_published(stack: Stack, runner: asyncio.Runner) -> None:
    """Requests of every operation, drawn from the document that is served; of each answer status, type and shape."""
    runner.run(check_a_stop_works(stack))
    before = [descriptors(gateway) for gateway in stack.gateways]
    with requests.Session() as session:
        session.trust_env = False
        requested = cases(load(stack.gateways[0].http))

        @examples(full=3000, slice_=100)
        @given(data=st.data(), place=st.integers(0, 1))
        def request(data: st.DataObject, place: int) -> None:
            ask(data.draw(requested), stack.gateways[place].http, session)

        request()
    runner.run(check_nothing_leaked(stack, before))
    runner.run(check_a_stop_works(stack))
