from threading import Thread, get_ident

import pytest
import torch

from videograin.diffusion.attention.kernels.one_core_threads import on_one_core, share_out


def cores_of_a_new_thread() -> int:
    found = []
    thread = Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def three_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_cores")
def test_tasks_are_shared_out_and_each_share_computes_on_one_core():
    shares, cores = [], []

    def work(tasks):
        shares.append(tasks)
        cores.append(torch.get_num_threads())

    share_out(work, range(7))
    assert sorted(shares, key=min) == [range(0, 7, 3), range(1, 7, 3), range(2, 7, 3)]
    assert cores == [1, 1, 1]


@pytest.mark.usefixtures("three_cores")
def test_all_other_threads_go_on_with_all_cores():
    share_out(lambda _tasks: None, range(3))
    assert (torch.get_num_threads(), cores_of_a_new_thread()) == (3, 3)


@pytest.mark.usefixtures("three_cores")
def test_what_is_done_on_one_core_stays_there_with_what_it_shares_out():
    def work():
        threads = []
        share_out(lambda tasks: threads.append((tasks, get_ident())), range(3))
        return torch.get_num_threads(), threads, get_ident()

    cores, threads, own = on_one_core(work)
    assert (cores, threads) == (1, [(range(3), own)])
    assert own != get_ident()
    assert (torch.get_num_threads(), cores_of_a_new_thread()) == (3, 3)


def test_what_a_share_raises_reaches_the_caller():
    def fail(_tasks):
        raise MemoryError("no room for scores")

    with pytest.raises(MemoryError, match="no room for scores"):
        share_out(fail, range(3))
