"""The notebook runs from its first cell to its last, and carries no outputs that could grow old."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from videograin.media.video import ClipOptions, load_clip

NOTEBOOK = Path(__file__).parents[1] / "examples/videograin.ipynb"

TINY = {"FRAMES": 2, "STEPS": 2, "SHORT_SIDE": 64, "DEVICE": "cpu"}
"""Instead of what its first cell sets."""


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_goes_from_a_clip_to_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, cell in enumerate(code_cells()):
        exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
        if number == 0:
            assert names.keys() >= TINY.keys()
            names |= TINY
    said = capsys.readouterr().out
    assert "measured by mini CLIP of Emoji World" in said
    assert all(f"{region.name}: own words fit best in" in said for region in names["regions"])
    edited = load_clip(tmp_path / "edited.mp4", ClipOptions(short_side=64)).frames
    assert edited.shape == (2, 64, 64, 3)
    assert not np.array_equal(names["result"].frames, names["plain"].frames)


def test_the_notebook_carries_no_outputs() -> None:
    assert [cell["id"] for cell in code_cells() if cell["outputs"] or cell["execution_count"]] == []
