"""Ctrl-C and SIGTERM as a request."""

import os
import signal
import time

import pytest

from maskrcnn_edu.system.interrupt import GracefulStop, handle_signals


@pytest.fixture
def handlers():
    """Python's own handlers: who starts pytest in the background has SIGINT ignored."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield lambda: (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def test_the_first_signal_is_a_request_the_second_is_not(handlers):
    before = handlers()
    with pytest.raises(KeyboardInterrupt), GracefulStop() as stop:
        assert not stop() and stop.exit_code == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() and stop.exit_code == 130
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    with GracefulStop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() and stop.exit_code == 143
    assert handlers() == before


def test_after_the_block_signals_do_what_they_did(handlers):
    before = handlers()
    with GracefulStop() as stop:
        assert handlers() != before
    assert handlers() == before and not stop()


def test_a_signal_that_was_ignored_is_a_request_within_the_block(handlers):
    """As for a training that a shell runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with GracefulStop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop() and stop.number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_one_signal_is_handled_for_a_time(handlers):
    before, seen = handlers(), []
    with handle_signals(lambda number, frame: seen.append(number), [signal.SIGTERM]):
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM] and handlers()[0] == before[0]
    assert handlers() == before
