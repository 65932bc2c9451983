"""What went wrong in a job: whether memory or disk ran out, how to get memory back, and what to tell the user."""

import errno
import gc
import sys
import traceback
from collections.abc import Iterator, Sequence

from videograin.errors import VideoGrainError, for_visitors

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",  # torch's allocator on a CPU
    "not enough memory",  # the same on Windows
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # its handle is made on first use, and needs memory
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

SHORTEST_HIDDEN = 3

OUT_OF_MEMORY = "The device ran out of memory, in the leaner mode too. Choose fewer frames or a smaller size."
OUT_OF_SPACE = "The server's disk is full; nothing was half written and earlier results are kept. Tell its operator."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that a device or this machine ran out of memory."""
    torch = sys.modules.get("torch")  # what never loaded it did not raise its errors
    return any(
        isinstance(cause, MemoryError)
        or (torch is not None and isinstance(cause, torch.OutOfMemoryError))
        or (isinstance(cause, RuntimeError) and any(sign in str(cause) for sign in _NO_MEMORY))
        for cause in _causes(error)
    )


def is_out_of_space(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, says that a disk is full."""
    return any(isinstance(cause, OSError) and cause.errno in _NO_SPACE for cause in _causes(error))


def in_plain_words(error: BaseException, job_id: str) -> str:
    """Say what a user can do about an error that ended a job."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if is_out_of_space(error):
        return OUT_OF_SPACE
    if isinstance(error, VideoGrainError):
        return for_visitors(str(error))
    return (
        f"Something broke that is no fault of yours. Try again; if it stays, tell the operator the job's id: {job_id}"
    )


def describe(error: BaseException, hidden: Sequence[str] = ()) -> str:
    """Return an error for the log: a line where the user can mend it, its whole trace where it is a defect.

    Args:
        error: what ended a job.
        hidden: texts that must not appear; shorter ones than `SHORTEST_HIDDEN` give nothing away.
    """
    is_expected = isinstance(error, VideoGrainError)
    form = traceback.format_exception_only(error) if is_expected else traceback.format_exception(error)
    description = "".join(form).strip()
    for text in sorted(hidden, key=len, reverse=True):
        if len(text) >= SHORTEST_HIDDEN:
            description = description.replace(text, "…")
    return description


def release_memory() -> None:
    """Give back what a job no longer needs; models stay. To be called when its error, too, is forgotten."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_initialized():  # to ask for more would initialise it
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
