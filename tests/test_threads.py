import time

import pytest

from videograin.threads import map_in_threads


def test_results_come_in_the_order_of_the_arguments():
    ended = []

    def take_its_time(name, seconds):
        time.sleep(seconds)
        ended.append(name)
        return name.upper()

    assert map_in_threads(take_its_time, ["long", "short"], [0.2, 0.0]) == ["LONG", "SHORT"]
    assert sorted(ended) == ["long", "short"]


def test_what_a_call_raises_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda x: 1 / x, [1, 0])
