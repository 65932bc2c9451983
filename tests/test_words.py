"""Code, page and docs keep to the words of CONTRIBUTING.md, as far as a list can tell."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEVER = re.compile(r"\b(heed\w*|anew|shall|likewise|nobody|somebody|so many|heat ?maps?)\b", re.IGNORECASE)
FOLDERS = ("videograin", "ui", "docs", "examples", "benchmarks", "training")
FILES = [
    ROOT / "README.md",
    *(file for folder in FOLDERS for kind in ("py", "md", "js", "html") for file in (ROOT / folder).rglob(f"*.{kind}")),
]


@pytest.mark.parametrize("folder", ["README.md", *FOLDERS])
def test_words_that_the_list_rules_out_are_not_used(folder: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] == folder
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if NEVER.search(line)
    ]
    assert not found
