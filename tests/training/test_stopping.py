"""Signals become a request to stop; numbers that are not finite an error that says what to do."""

from __future__ import annotations

import math
import os
import signal
import threading
from pathlib import Path

import pytest

from domainvl.errors import ExitCode
from domainvl.training.stopping import DivergedError, StopRequest, not_finite, stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_does_not_interrupt(number: signal.Signals) -> None:
    announced: list[str] = []
    before = signal.getsignal(number)
    with StopRequest(announced.append) as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.signal_name == number.name
        assert len(announced) == 1
        assert announced[0].startswith(f"{number.name}: stopping after this step")
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers send it more than once
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_second_ctrl_c_ends_at_once(first: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), first)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_it_does_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with StopRequest() as stop:
            seen.extend([stop.requested, signal.getsignal(signal.SIGTERM)])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, before]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_run_says_how_to_go_on() -> None:
    error = stopped(30, 200, Path("chest"))
    assert error.exit_code == ExitCode.STOPPED
    assert str(error) == (
        "Stopped in chest: at step 30 of 200, the state is saved. Go on with the same command and --resume."
    )


def test_finite_numbers_are_no_error() -> None:
    assert not_finite(2.5, 1e30, step=1, out=Path("run")) is None


@pytest.mark.parametrize(
    ("loss", "norm", "seen"),
    [
        (math.nan, 1.0, "but loss is nan;"),
        (2.0, math.inf, "but gradient norm is inf;"),
        (math.inf, math.nan, "but loss is inf, gradient norm is nan;"),
    ],
)
def test_what_is_not_finite_is_named(loss: float, norm: float, seen: str) -> None:
    error = not_finite(loss, norm, step=7, out=Path("run"))
    assert isinstance(error, DivergedError)
    assert error.exit_code == ExitCode.STOPPED
    assert "diverged at step 7 in run" in str(error)
    assert seen in str(error)
    assert "nothing was saved before" in str(error)
    assert "lower optimisation.learning_rate" in str(error)


def test_what_is_left_and_the_samples_are_named() -> None:
    error = not_finite(math.nan, 1.0, step=7, out=Path("run"), last_good="the state of step 5", samples=list("abcd"))
    assert "; samples of the step: a, b, c, ...; the state of step 5 is kept. " in str(error)
