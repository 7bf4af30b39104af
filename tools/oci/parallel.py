"""A few things at the same time, without importing concurrent.futures (whose logging costs more than a request)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(tasks: Sequence[Callable[[], Result]], *, at_once: int = 8) -> list[Result]:
    """Run all tasks, `at_once` at a time, and return their results in order.

    After the first failure no further task is started; those under way are waited for, then it is raised.
    """
    if len(tasks) < 2:
        return [task() for task in tasks]
    results: dict[int, Result] = {}
    failures: list[BaseException] = []
    waiting = iter(range(len(tasks)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = None if failures else next(waiting, None)
            if number is None:
                return
            try:
                results[number] = tasks[number]()
            except BaseException as error:
                with lock:
                    failures.append(error)

    # Daemons: an interrupt in the caller's thread ends the program without waiting for the network. Each runs in the
    # caller's context, so that its requests count for whoever they are made for.
    threads = [
        threading.Thread(target=copy_context().run, args=(work,), daemon=True) for _ in range(min(at_once, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(tasks))]


class Gatherer(Generic[Item]):
    """An action that runs once at a time: what threads ask for while it runs, the next run does for all of them.

    `act` gets their items, without repetition. What it raises is raised to all whose items it had.
    """

    def __init__(self, act: Callable[[Sequence[Item]], None]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._next = _Gathering[Item]()

    def __call__(self, items: Sequence[Item]) -> None:
        """Have these done, and wait for it."""
        with self._lock:
            mine = self._next
            mine.items |= dict.fromkeys(items)
        with self._turn:
            if not mine.done:  # Else another thread's turn had it.
                with self._lock:
                    self._next = _Gathering[Item]()
                try:
                    self._act(tuple(mine.items))
                except Exception as error:
                    mine.error = error
                mine.done = True
        if mine.error is not None:
            raise mine.error


class _Gathering(Generic[Item]):
    def __init__(self) -> None:
        self.items: dict[Item, None] = {}
        self.done = False
        self.error: Exception | None = None
