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

    assert list(map_beside(change, items(), waiting=1)) == ["FIRST", "SECOND"]


def test_items_are_made_while_up_to_so_many_wait():
    fourth_is_made, most = Event(), []

    def items():
        for number in range(8):
            most.append(number - len(ended))
            if number == 3:
                fourth_is_made.set()
            yield number

    ended = []

    def take_its_time(number):
        assert fourth_is_made.wait(10)
        ended.append(number)
        return number

    assert list(map_beside(take_its_time, items(), waiting=3)) == list(range(8))
    assert max(most) == 3


def test_after_a_call_that_failed_the_function_is_not_called_again():
    called, all_are_made = [], Event()

    def items():
        yield from (0, 1, 2)
        all_are_made.set()

    def fail(number):
        assert all_are_made.wait(10)
        called.append(number)
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        list(map_beside(fail, items(), waiting=8))
    assert called == [0]


def test_where_no_more_items_can_be_made_something_has_come_of_all_that_were():
    ended = []

    def items():
        yield from ("first", "second")
        raise ZeroDivisionError

    def take_its_time(item):
        time.sleep(0.1)
        ended.append(item)

    with pytest.raises(ZeroDivisionError):
        list(map_beside(take_its_time, items(), waiting=2))
    assert ended == ["first", "second"]


def test_what_a_call_beside_raises_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(map_beside(lambda x: 1 / x, [0], waiting=1))
