from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.files.dataclass_json import from_json, leaves, paths_in, texts_in, to_json
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions
from videograin.project.project import Project, ProjectRegion
from videograin.region import ControlKind, EditSettings

PROJECT = Project(
    clip=Path("/data/clip.mp4"),
    regions=(ProjectRegion(MaskSource(Path("/data/masks.npz"), key="cat"), "a fox", "cat"),),
    source_prompt="a cat",
    controls=(ControlKind.CANNY,),
    clip_options=ClipOptions(end=2.5, fit="fit"),
)


@dataclass(frozen=True)
class Leaf:
    text: str
    number: float | None = None


@dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...]
    path: Path


def test_a_project_comes_back_as_it_was() -> None:
    assert from_json(to_json(PROJECT), Project) == PROJECT


@given(
    st.lists(
        st.builds(
            Leaf, st.text(st.characters(codec="utf-8")), st.none() | st.floats(allow_nan=False, allow_infinity=False)
        )
    )
)
def test_whatever_it_holds_it_comes_back(items: list[Leaf]) -> None:
    tree = Tree(tuple(items), Path("/somewhere"))
    assert from_json(to_json(tree), Tree) == tree


def test_equal_values_give_equal_bytes_and_others_do_not() -> None:
    assert to_json(EditSettings(seed=1)) == to_json(EditSettings(seed=1)) != to_json(EditSettings(seed=2))


def test_the_paths_and_texts_within_are_found() -> None:
    assert paths_in(PROJECT) == [Path("/data/clip.mp4"), Path("/data/masks.npz")]
    assert {"a fox", "cat", "a cat"} <= set(texts_in(PROJECT))
    assert "canny" not in texts_in(PROJECT)  # a choice, no text
    assert 2.5 in leaves(PROJECT)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"text": 3}'])
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        from_json(content, Leaf)
