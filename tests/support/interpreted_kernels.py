"""Triton kernels run by its interpreter, on machines without a GPU."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

KERNELS = "videograin.diffusion.attention.kernels"

# In a process of its own: Triton decides at its import whether kernels are interpreted.
RUN = """
import sys, torch
from importlib import import_module
from triton.runtime import interpreter

patch = interpreter._patch_lang_tensor

def patch_with_index(tensor, scope):  # Triton 3.6 calls int() on arrays of one number, which NumPy 2.4 refuses
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

interpreter._patch_lang_tensor = patch_with_index
module, function, inputs, outputs = sys.argv[1:]
kernel = import_module(module)
for tuned in [each for each in vars(kernel).values() if hasattr(each, "configs")]:
    tuned.configs = kernel.CONFIGS[:1]  # without a device there is nothing to time
kernel._shared_memory = lambda device: 2**17
cases = torch.load(inputs, weights_only=False)
torch.save({name: getattr(kernel, function or name)(*case) for name, case in cases.items()}, outputs)
"""


def interpreted(folder: Path, kernel: str, function: str, cases: Mapping[str, tuple]) -> dict[str, Any]:
    """Return what a function of a kernel's module returns for each case, by its name.

    The module is one of attention's kernels, or has all of its name. Without a function the case's name is its.
    """
    pytest.importorskip("triton")
    inputs, outputs = folder / "inputs.pt", folder / "outputs.pt"
    torch.save(dict(cases), inputs)
    subprocess.run(
        [sys.executable, "-c", RUN, kernel if "." in kernel else f"{KERNELS}.{kernel}", function, inputs, outputs],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        check=True,
    )
    return torch.load(outputs)
