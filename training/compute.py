"""How a stage computes: on one GPU or several, in which precision, compiled, or recorded once and replayed."""

import os
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.log import log


class Ranks:
    """This process among those of the job: one a GPU under torchrun, or alone."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True
        if self.size > 1:
            dist.init_process_group("nccl" if cuda else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this is the process that logs and saves."""
        return self.rank == 0

    def from_leader(self, values: list[float]) -> list[float]:
        """Return rank 0's values on every rank."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return tensor.tolist()

    def average(self, gradients: Tensor) -> None:
        """Average a tensor over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(gradients)
            gradients.div_(self.size)

    def close(self) -> None:
        """Leave the job, all ranks at once: the leader still saves when the others are done."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


def working_precision(device: torch.device | str) -> torch.dtype:
    """Return the type of weights that compute without mixed precision: bfloat16 on a GPU, float32 elsewhere."""
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def mixed_precision(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 on a GPU and in float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def speed_up(module: nn.Module, enabled: bool, prove: Callable[[], Tensor | tuple[Tensor, ...]]) -> None:
    """Compile the module's forward; leave it as it was where compiling fails.

    Args:
        prove: a pass that uses the module just as training will; its gradients are computed as well, and dropped.
    """
    if not enabled:
        return
    start, plain = time.time(), module.forward
    try:
        module.forward = torch.compile(plain, dynamic=False)
        result = prove()
        outputs = result if isinstance(result, tuple) else (result,)
        torch.stack([output.float().square().mean() for output in outputs]).sum().backward()
        torch.cuda.synchronize()
        log(f"compiled {type(module).__name__} in {time.time() - start:.0f} s")
    except Exception as error:
        module.forward = plain
        torch._dynamo.reset()
        log(f"{type(module).__name__} goes uncompiled:", f"{type(error).__name__}: {error}"[:400])


class Recorded:
    """A computation with its gradients, on a GPU recorded once and replayed; elsewhere it is simply called.

    Launching thousands of small kernels takes longer than running them.

    Args:
        compute: forward, backward, and what to log; it must not read values on the way.
        example: inputs of the shapes that all later ones have.
    """

    def __init__(self, compute: Callable[..., dict[str, Tensor]], *example: Tensor) -> None:
        self.compute, self.graph = compute, None
        if example[0].device.type != "cuda":
            return
        self.inputs = [tensor.clone() for tensor in example]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                compute(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.notes = compute(*self.inputs)
        self.graph = graph

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Add the gradients of these inputs to the parameters'; return what to log."""
        if self.graph is None:
            return self.compute(*inputs)
        torch._foreach_copy_(self.inputs, list(inputs))
        self.graph.replay()
        return self.notes
