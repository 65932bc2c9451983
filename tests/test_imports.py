"""What importing the package costs: each line runs in a Python of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

import videograin

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "diffusers", "transformers", "torchvision", "peft", "segment_anything", "gradio"]


def heavy_modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(HEAVY) & set(run.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import videograin",
        "import videograin.errors",
        "from videograin import Region, EditSettings, Progress",
        "from videograin.project.project import load_project; load_project('assets/clips/friends/project.json')",
        "from videograin.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from videograin.cli.main import main\ntry: main(['edit', '--help'])\nexcept SystemExit: pass",
        "from videograin.cli.main import main\nmain(['info', 'assets/clips/friends/clip.mp4'])",
        "from videograin.cli.main import main\nmain(['models'])",
    ],
)
def test_torch_is_not_loaded_before_it_is_needed(statement: str) -> None:
    assert not heavy_modules_after(statement)


BUILD_PAGE = """
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from ui import launch, page
from videograin.jobs.settings import OperatorSettings

with TemporaryDirectory() as folder:
    studio = launch.StudioService(OperatorSettings(data_folder=Path(folder), device="cpu"), begin=Event())
    page.build_page(studio)
"""


def test_the_page_is_built_without_what_computes() -> None:
    """A studio answers before torch and its kin are imported."""
    assert heavy_modules_after(BUILD_PAGE) == {"gradio"}


def test_every_public_name_is_there_and_an_unknown_one_is_not() -> None:
    for name in videograin.__all__:
        assert getattr(videograin, name).__name__ == name
    assert set(videograin.__all__) <= set(dir(videograin))
    assert sorted(name for names in videograin._MODULES.values() for name in names) == videograin.__all__
    with pytest.raises(AttributeError, match="no attribute 'edit_everything'"):
        _ = videograin.edit_everything  # pyright: ignore[reportAttributeAccessIssue]
