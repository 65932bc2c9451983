"""What `pip install` brings: the wheel's contents, read from a wheel built as a front end builds it."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import videograin

ROOT = Path(__file__).parents[1]
SOURCES = ("videograin", "ui", "assets", "pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Build the wheel from a copy, so that neither a former build gets into it nor this one into the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for source in (*SOURCES, *(file.name for file in ROOT.glob("requirements*.txt"))):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, copy)
    built = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True, text=True)
    return ZipFile(copy / "dist" / built.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_wheel_carries_code_page_models_and_examples(wheel: ZipFile) -> None:
    folders = {"videograin": "videograin", "ui": "ui", "assets": "videograin/assets"}
    expected = {
        (Path(inside) / file.relative_to(ROOT / folder)).as_posix()
        for folder, inside in folders.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert "videograin/py.typed" in found


@pytest.mark.slow
def test_the_wheel_has_the_command_and_asks_for_what_it_runs_on(wheel: ZipFile) -> None:
    folder = f"videograin_studio-{videograin.__version__}.dist-info"
    assert "videograin = videograin.cli.main:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert {line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line} == {
        f"Requires-Dist: {line}"
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
