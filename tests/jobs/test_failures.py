import errno

import pytest
import torch

from videograin.errors import ModelError, PromptError, VideoError
from videograin.jobs.failures import (
    OUT_OF_MEMORY,
    OUT_OF_SPACE,
    describe,
    in_plain_words,
    is_out_of_memory,
    is_out_of_space,
)


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


FULL = OSError(errno.ENOSPC, "No space left on device")
SHORT = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (SHORT, True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (raised_from(ModelError("cannot be loaded"), SHORT), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (VideoError("'a.mp4' is out of memory lane"), False),
        (FULL, False),
    ],
    ids=repr,
)
def test_a_shortage_of_memory_is_recognised(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_recognised_also_behind_our_own_error(number: int) -> None:
    error = OSError(number, "full")
    assert is_out_of_space(error)
    assert is_out_of_space(raised_from(VideoError("cannot be written"), error))
    assert not is_out_of_space(FileNotFoundError(errno.ENOENT, "gone"))


def test_people_are_told_what_to_do() -> None:
    assert in_plain_words(SHORT, "id") == OUT_OF_MEMORY
    assert in_plain_words(FULL, "id") == OUT_OF_SPACE
    assert in_plain_words(PromptError("Say more."), "id") == "Say more."
    assert in_plain_words(KeyError("k"), "the-id").endswith("the-id")


def test_a_defect_is_described_by_its_trace_and_a_mistake_by_its_message() -> None:
    assert describe(raised_from(KeyError("k"), FULL)).count("Traceback") == 1
    assert describe(PromptError("Say more.")) == "videograin.errors.PromptError: Say more."


def test_hidden_texts_do_not_appear_however_they_overlap() -> None:
    error = RuntimeError("cannot draw a red fox beside a fox in a hat")
    text = describe(error, hidden=["fox", "a red fox", "a"])
    assert text == "RuntimeError: cannot draw … beside a … in a hat"
