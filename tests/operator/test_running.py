"""How the process ends."""

import asyncio
import logging

import pytest
import uvloop

from greenroom_operator.running import end_quietly


async def broken_end():
    """A generator that cannot be closed, as one of kopf's watches cannot now and then."""
    try:
        yield 1
    finally:
        raise RuntimeError("generator didn't stop after athrow()")


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
@pytest.mark.parametrize(("handler", "errors"), [(None, 1), (end_quietly, 0)])
def test_generators_that_are_left_at_the_end_are_no_error(run, handler, errors, caplog):
    left = broken_end()

    async def leave_it():
        asyncio.get_running_loop().set_exception_handler(handler)
        await anext(left)

    run(leave_it())
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == errors


def test_anything_else_is(caplog):
    async def go_wrong():
        end_quietly(asyncio.get_running_loop(), {"message": "a callback failed"})

    asyncio.run(go_wrong())
    assert [record.getMessage() for record in caplog.records] == ["a callback failed"]
