"""A few things at the same time, without importing concurrent.futures (whose logging costs more than a request)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TypeVar

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
