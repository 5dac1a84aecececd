"""Working ahead of whoever takes the results, in threads and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from domainvl.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, worker_count: int, ahead: int | None = None
) -> Generator[Result, None, None]:
    """Yield the result of each item in order, the same as the function gives, working ahead in threads.

    Decoding and resizing images release Python's lock, so threads are enough. An item that fails raises its error at
    its turn, and ends the iteration.

    Args:
        read: Called with one item, from several threads.
        items: Taken at most ``ahead`` early.
        worker_count: Threads; with 0 each item is read when its turn comes, by the caller.
        ahead: Items being read or ready and not yet taken; twice as many as threads where None.

    Raises:
        UsageError: If a number is out of range.
    """
    limit = 2 * worker_count if ahead is None else ahead
    if worker_count < 0 or limit < min(1, worker_count):
        raise UsageError(
            "Cannot read ahead",
            rule=f"it takes 0 or more threads and at least 1 item ahead, got {worker_count} and {limit}",
        )
    if worker_count == 0:
        return (read(item) for item in items)
    return _in_threads(read, items, worker_count, limit)


def _in_threads(
    read: Callable[[Item], Result], items: Iterable[Item], worker_count: int, limit: int
) -> Generator[Result, None, None]:
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(worker_count, thread_name_prefix="read-ahead") as pool:
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) == limit:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # An error, or a caller who has enough: what has not begun need not be read.
            pool.shutdown(cancel_futures=True)
