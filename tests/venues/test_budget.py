"""The rate budget: never more than burst + rate * t, shared by threads, and a hold stops everybody."""

import threading

import pytest
from exchange_double import Sleeper
from hypothesis import given
from hypothesis import strategies as st

from alphabook.venues import RateBudget


@given(
    rate=st.floats(0.5, 100),
    burst=st.floats(1, 50),
    units=st.lists(st.floats(0.1, 10), min_size=1, max_size=60),
)
def test_no_span_of_time_sees_more_than_burst_plus_rate_times_its_length(rate, burst, units):
    time = Sleeper()
    budget = RateBudget(rate, burst, clock=time.clock, sleep=time.sleep)
    done = []
    for u in units:
        budget.take(u)
        done.append((time.now, u))
    for i in range(len(done)):
        for j in range(i, len(done)):
            spent = sum(u for _, u in done[i : j + 1])
            # a request larger than the bucket is let through once the bucket has been paid for
            assert spent <= burst + rate * (done[j][0] - done[i][0]) + max(u for _, u in done[i : j + 1]) + 1e-6


def test_a_rested_budget_lets_a_burst_through_and_then_paces():
    time = Sleeper()
    budget = RateBudget(2.0, 3.0, clock=time.clock, sleep=time.sleep)
    waits = [budget.take() for _ in range(6)]
    assert waits == pytest.approx([0, 0, 0, 0.5, 0.5, 0.5])


def test_hold_stops_everybody_until_it_is_over():
    time = Sleeper()
    budget = RateBudget(clock=time.clock, sleep=time.sleep)
    budget.hold(30)
    budget.hold(10)  # a shorter one does not shorten it
    assert budget.take() == pytest.approx(30)
    assert budget.take() == 0


def test_threads_share_one_budget():
    time, lock = Sleeper(), threading.Lock()
    due = []

    def sleep(seconds):
        with lock:
            due.append(seconds)

    budget = RateBudget(10.0, 1.0, clock=time.clock, sleep=sleep)
    threads = [threading.Thread(target=lambda: [budget.take() for _ in range(5)]) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # the clock stood still: 20 units, one free, the others queue up a tenth of a second apart
    assert sorted(due) == pytest.approx([i / 10 for i in range(1, 20)])
    assert budget.spent == 20


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0.5)])
def test_a_budget_that_could_never_be_spent_is_refused(rate, burst):
    with pytest.raises(ValueError, match="rate > 0 and burst >= 1"):
        RateBudget(rate, burst)
