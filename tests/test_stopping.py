import os
import signal

import pytest

from vprcap import stopping
from vprcap.stopping import asked_to_stop, stop_on_signals

ALL = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("number", ALL)
def test_each_signal_sets_the_flag_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in ALL]
    with stop_on_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop() and stop.signal == number
    assert [signal.getsignal(each) for each in ALL] == before


def test_code_without_a_flag_can_ask_too_while_signals_are_caught() -> None:
    assert not asked_to_stop()
    with stop_on_signals():
        assert not asked_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked_to_stop()
    assert not asked_to_stop()


def test_what_schedulers_send_after_the_first_signal_changes_nothing() -> None:
    with stop_on_signals() as stop:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert stop.signal == signal.SIGUSR1


def test_a_second_interrupt_after_a_moment_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_ONE_KEYSTROKE_SECONDS", -1.0)
    with stop_on_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
