"""The stopwatch: every second is counted once, in the innermost phase, and only while somebody looks."""

from types import SimpleNamespace

import pytest

from praesidium import stopwatch
from praesidium.stopwatch import Stopwatch, phase, watch


@pytest.fixture
def work(monkeypatch):
    """A clock that moves only when something works."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def worked(seconds):
        clock.now += seconds

    return worked


def test_a_phase_does_not_count_those_inside_it(work):
    with watch(Stopwatch()) as seen, phase("outer"):
        work(1)
        with phase("inner"):
            work(2)
            with phase("innermost"):
                work(4)
            work(8)
        work(16)
    assert seen.seconds == {"outer": 17, "inner": 10, "innermost": 4}


def test_seconds_and_calls_add_up(work):
    with watch(Stopwatch()) as seen:
        for seconds in (1, 2, 4):
            work(100)  # between phases
            with phase("again"):
                work(seconds)
        with phase("once"):
            pass
    assert seen.seconds == {"again": 7, "once": 0}
    assert seen.calls == {"again": 3, "once": 1}


def test_a_phase_may_hold_itself(work):
    with watch(Stopwatch()) as seen, phase("same"):
        work(1)
        with phase("same"):
            work(2)
    assert seen.seconds == {"same": 3}
    assert seen.calls == {"same": 2}


def test_nothing_is_counted_when_nobody_looks(work):
    seen = Stopwatch()
    with phase("before"):
        work(1)
        with watch(seen):
            work(2)
        work(4)
    with phase("after"):
        work(8)
    assert seen.seconds == seen.calls == {}


def test_a_phase_belongs_to_whoever_looked_when_it_began(work):
    with watch(Stopwatch()) as outer, phase("outer"):
        work(1)
        with watch(Stopwatch()) as inner, phase("inner"):
            work(2)
        work(4)
    assert outer.seconds == {"outer": 7}
    assert inner.seconds == {"inner": 2}


def test_an_error_ends_its_phases(work):
    def broken():
        with phase("inner"):
            work(1)
            raise ValueError("broken")

    seen = Stopwatch()
    with pytest.raises(ValueError, match="broken"), watch(seen), phase("outer"):
        broken()
    with phase("unseen"):
        work(2)
    with watch(seen), phase("outer"):
        work(4)
    assert seen.seconds == {"outer": 4, "inner": 1}
    assert seen.calls == {"outer": 2, "inner": 1}


def test_work_under_way_is_waited_for_at_each_change_of_phase(work):
    """What was started in a phase counts there, though it ends later."""
    waiting = []

    def settle():
        while waiting:
            work(waiting.pop())

    with watch(Stopwatch(settle)) as seen, phase("outer"):
        waiting.append(1)
        with phase("inner"):
            waiting.append(2)
        waiting.append(4)
    assert seen.seconds == {"outer": 5, "inner": 2}
