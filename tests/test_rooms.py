"""The order of the rooms: lower ones never import higher ones, read from the import statements themselves."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS = (
    "videograin.errors videograin.json_log videograin.progress videograin.device videograin.threads "
    "videograin.controls videograin.reference videograin.settings videograin.region",
    "videograin.files",
    "videograin.media",
    "videograin.masks",
    "videograin.removal",
    "videograin.segment",
    "videograin.tracking",
    "videograin.diffusion",
    "videograin.models",
    "videograin.evaluation",
    "videograin.comparison",
    "videograin.finding",
    "videograin.project",
    "videograin.production",
    "videograin.engine",
    "videograin.jobs",
    "ui.rendering",
    "ui.work",
    "ui",
    "videograin videograin.cli videograin.__main__ app",
)
"""From the lowest to the highest; what stands on one line may import each other. The last are doors to all of it."""

MAX_FILES, MAX_LINES, MAX_FILES_AT_THE_TOP = 16, 400, 12

FILES = [*sorted(ROOT.glob("videograin/**/*.py")), *sorted(ROOT.glob("ui/**/*.py")), ROOT / "app.py"]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def room_of(module: str) -> int:
    """Return the place of a module's room, that of the longest name that it begins with."""
    places = {name: place for place, names in enumerate(ROOMS) for name in names.split()}
    names = [name for name in places if module == name or (module.startswith(f"{name}.") and name != "videograin")]
    assert names, f"{module} is in no room; give it one, or name it in ROOMS."
    return places[max(names, key=len)]


@cache
def imports(file: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere in it, type-checking imports aside."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in MODULES else node.module for name in whole)
    return frozenset(found)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_no_room_imports_a_higher_one(file: Path) -> None:
    place = room_of(module_of(file))
    upwards = {name for name in imports(file) if name.split(".")[0] in ("videograin", "ui") and room_of(name) > place}
    assert not upwards


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_the_library_knows_no_page_and_the_page_no_tensor(file: Path) -> None:
    forbidden = {"videograin": "gradio", "ui": "torch"}.get(module_of(file).split(".")[0])
    assert forbidden not in {name.split(".")[0] for name in imports(file)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    ahead = {module: (imports(file) & MODULES.keys()) - {module} for module, file in MODULES.items()}
    while free := {module for module, names in ahead.items() if not names & ahead.keys()}:
        ahead = {module: names for module, names in ahead.items() if module not in free}
    assert not ahead, f"a circle among {sorted(ahead)}"


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES} - {ROOT}), ids=lambda folder: folder.name)
def test_rooms_are_small(folder: Path) -> None:
    files = list(folder.glob("*.py"))
    assert len(files) <= (MAX_FILES_AT_THE_TOP if folder.name == "videograin" else MAX_FILES)
    assert all(len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES for file in files)


def test_the_architecture_page_names_every_file_and_none_that_is_gone() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = [line for line in page[: page.index("Letters in shapes")].splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    folders = ("cli", "handlers")  # a file for each command and step: named as a whole
    files = {file.stem for file in FILES if file.parent.name not in (*folders, "videograin", ROOT.name)} - {"__init__"}
    assert named - {"__main__"} == files


def test_what_contributing_says_to_change_is_defined_where_it_says() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = re.findall(r"`(\w+)`\s+(?:\(|in )`([\w/]+\.py)`", page)
    assert len(places) > 10
    for name, file in places:
        text = next(path for path in (ROOT / file, ROOT / "videograin" / file) if path.exists()).read_text("utf-8")
        assert re.search(rf"^(class|def) {name}\b|^{name}\b.*=", text, re.MULTILINE), f"{name} is not in {file}"
