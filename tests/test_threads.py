import time
from threading import Event

import pytest

from videograin.threads import map_beside, map_in_threads


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


def test_what_comes_of_an_item_is_computed_while_the_next_one_is_made():
    next_is_made = Event()

    def items():
        yield "first"
        next_is_made.set()
        yield "second"

    def change(item):
        assert next_is_made.wait(10)
        return item.upper()

    assert list(map_beside(change, items())) == ["FIRST", "SECOND"]


def test_where_no_more_items_can_be_made_something_has_come_of_all_that_were():
    ended = []

    def items():
        yield from ("first", "second")
        raise ZeroDivisionError

    def take_its_time(item):
        time.sleep(0.1)
        ended.append(item)

    with pytest.raises(ZeroDivisionError):
        list(map_beside(take_its_time, items()))
    assert ended == ["first", "second"]


def test_what_a_call_beside_raises_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(map_beside(lambda x: 1 / x, [0]))
