"""Things done at the same time, and things that are gathered to be done at once."""

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial

import pytest

from tools.oci.parallel import Gatherer, run_all

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


def test_results_are_in_the_order_of_the_tasks_and_each_runs_in_the_callers_context() -> None:
    whose.set("mine")

    def task(number: int) -> tuple[int, str]:
        return number, whose.get()

    tasks = [partial(task, number) for number in range(20)]
    assert run_all(tasks, at_once=4) == [(number, "mine") for number in range(20)]


def test_what_is_asked_for_while_the_action_runs_is_done_by_the_next_run_for_all() -> None:
    begun, go_on = threading.Event(), threading.Event()
    runs: list[list[str]] = []

    def act(items: Sequence[str]) -> None:
        runs.append(sorted(items))
        begun.set()
        assert go_on.wait(10)

    gather = Gatherer(act)
    first = threading.Thread(target=gather, args=(["a"],))
    first.start()
    assert begun.wait(10)
    others = [threading.Thread(target=gather, args=([name, "shared"],)) for name in "bcd"]
    for thread in others:
        thread.start()
    while len(gather._next.items) < 4:
        pass
    go_on.set()
    for thread in (first, *others):
        thread.join(10)
    assert runs == [["a"], ["b", "c", "d", "shared"]]


def test_an_error_is_raised_to_those_whose_items_it_was_about() -> None:
    def act(items: Sequence[str]) -> None:
        if "bad" in items:
            raise ValueError("bad")

    gather = Gatherer(act)
    with pytest.raises(ValueError, match="bad"):
        gather(["bad"])
    gather(["good"])
