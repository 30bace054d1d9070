"""Where decisions are made, whatever looks ahead is refused."""

import threading

import pytest

from praesidium.component import InputError
from praesidium.regimes.causality import LookAhead, deciding, refuse_look_ahead


def test_looking_ahead_is_refused_inside_alone():
    refuse_look_ahead("smooth")
    with deciding():
        with pytest.raises(LookAhead, match=r"GaussianHMM\.smooth: it looks ahead"):
            refuse_look_ahead("GaussianHMM.smooth")
        with deciding(), pytest.raises(LookAhead):
            refuse_look_ahead("smooth")
        with pytest.raises(LookAhead):  # still inside the outer one
            refuse_look_ahead("smooth")
    refuse_look_ahead("smooth")


def test_an_error_inside_ends_it():
    with pytest.raises(ZeroDivisionError), deciding():
        raise ZeroDivisionError
    refuse_look_ahead("smooth")


def test_it_is_an_input_error():
    assert issubclass(LookAhead, InputError)


def test_another_thread_makes_no_decision():
    found = []
    with deciding():
        other = threading.Thread(target=lambda: found.append(refuse_look_ahead("smooth")))
        other.start()
        other.join()
    assert found == [None]
