"""What engines share that take requests one by one: a batch's side by side, and what is asked first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cluster.spec import Batch, Completion, Request

FIRST_PROMPT = "Question:"
"""What an engine is asked to see whether it answers. Every tokenizer has tokens for it."""


async def complete_each(batch: Batch, complete: Callable[[Request], Awaitable[Completion]]) -> list[Completion]:
    """Complete every request, `batch.concurrency` at a time, in the batch's order.

    Raises what `complete` raises for one, once the batch's other requests are taken back.
    """
    gate = asyncio.Semaphore(batch.concurrency)

    async def admitted(request: Request) -> Completion:
        async with gate:
            return await complete(request)

    tasks = [asyncio.ensure_future(admitted(request)) for request in batch.requests]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
