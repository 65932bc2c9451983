"""Captions of scenes, assembled as token ids on the device, and their hard negatives.

A caption is a row of slots (prefix, first object, what it wears, relation, second object …); every slot holds the
number of a phrase whose tokens were looked up once. So a batch of captions is three gathers, and a hard negative is the
same wording of a slightly different scene.
"""

from dataclasses import dataclass, fields, replace
from typing import cast

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from training.scene import GROUND_AND_SKY, PLACE, SLOTS, Dice, Scene
from training.tokenizer import MAX_TOKENS
from training.vocabulary import (
    COLOUR_NAMES,
    GROUNDS,
    NAMES,
    PLACES,
    PREFIXES,
    RECOLOURED,
    RELATIONS,
    SKIES,
    WEARABLES,
    Words,
    with_article,
    worn_phrases,
)
from training.world import GROUND_OWNER, NO_OWNER, TOP_OWNER

_WAYS = 12  # a common multiple of the lengths of most phrase lists
AND, BESIDE, BOTH_SIDES = 0, 1, 2


@dataclass(frozen=True)
class Wording:
    """The choices of words for B scenes."""

    article: Tensor  # (B, K) a, none, the
    worn: Tensor  # (B, K) in, wearing, with
    mention: Tensor  # (B, K) the order in which objects are named
    form: Tensor  # (B,) AND, BESIDE or BOTH_SIDES
    relation: Tensor  # (B,) way of saying it
    told: Tensor  # (B,) 0 ground and sky, 1 ground, 2 sky, 3 neither
    background: Tensor  # (B, 2) way of saying ground (or place) and sky
    fronted: Tensor  # (B,) bool: the background comes first
    prefix: Tensor  # (B,)

    def __getitem__(self, rows: Tensor | slice) -> "Wording":
        """Return the wordings of the given rows."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def random_wording(dice: Dice, scene: Scene) -> Wording:
    """Choose words for scenes."""
    batch = len(scene)
    swap = torch.where(
        dice.chance(0.5, batch, 1), torch.tensor([1, 0, 2], device=dice.device), torch.arange(SLOTS, device=dice.device)
    )
    shuffled = dice.uniform(0, 1, batch, SLOTS).argsort(1)
    mention = torch.where((scene.count == 3)[:, None], shuffled, swap)
    alone = (scene.count < 2)[:, None]
    return Wording(
        article=dice.choice((0.80, 0.17, 0.03), batch, SLOTS),
        worn=dice.integers(3, batch, SLOTS),
        mention=torch.where(alone, torch.arange(SLOTS, device=dice.device), mention),
        form=dice.choice((0.55, 0.25, 0.20), batch),
        relation=dice.integers(_WAYS, batch),
        told=dice.choice((0.52, 0.20, 0.18, 0.10), batch),
        background=dice.integers(_WAYS, batch, 2),
        fronted=dice.chance(0.10, batch),
        prefix=dice.choice(tuple(weight for _, weight in PREFIXES), batch),
    )


def tells_backdrop(scene: Scene, wording: Wording) -> Tensor:
    """Return whether captions say all of their backdrops, (B,) bool."""
    return (wording.told == 0) | ((scene.backdrop != GROUND_AND_SKY) & (wording.told < 3))


class Captioner:
    """Phrases as numbers, and captions as rows of token ids."""

    def __init__(self, tokenizer: CLIPTokenizer, device: str | torch.device) -> None:
        self.tokenizer, self.device = tokenizer, torch.device(device)
        self.start, self.end = cast(tuple[int, int], (tokenizer.bos_token_id, tokenizer.eos_token_id))
        self._ids: dict[str, int] = {}
        self.nouns = self._table([[self._noun(colour, name) for name in NAMES] for colour in COLOUR_NAMES])
        nothing = [["", "", ""] for _ in COLOUR_NAMES]
        self.worn = self._table(
            [nothing, *([list(worn_phrases(_dyed(c, w))) for c in COLOUR_NAMES] for w in WEARABLES)]
        )
        self.ground, self.ground_alone = self._words(GROUNDS)
        self.sky, self.sky_alone = self._words(SKIES)
        self.place, self.place_alone = self._words(PLACES)
        self.relations = {name: self._table(_cycled(texts)) for name, texts in RELATIONS.items()}
        self.prefixes = self._table([text for text, _ in PREFIXES])
        self.fixed = {text: self._phrase(text) for text in ("", ",", "and", "on the left", "on the right")}
        self.tokens = self._token_table()

    def _phrase(self, text: str) -> int:
        return self._ids.setdefault(text, len(self._ids))

    def _table(self, texts: list) -> Tensor:
        """Replace the texts of nested lists by phrase numbers."""

        def numbers(item: str | list) -> int | list:
            return self._phrase(item) if isinstance(item, str) else [numbers(inner) for inner in item]

        return torch.tensor(numbers(texts), device=self.device)

    def _noun(self, colour: str, name: str) -> list[str]:
        noun = _dyed(colour, name)
        return [with_article(noun), noun, f"the {noun}"]

    def _words(self, group: dict[str, Words]) -> tuple[Tensor, Tensor]:
        after = self._table([_cycled(texts) for texts, _ in group.values()])
        return after, self._table([_cycled(texts) for _, texts in group.values()])

    def _token_table(self) -> Tensor:
        """Return the tokens (P, L) of every phrase, −1 where it has ended."""
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else [] for text in self._ids]
        table = torch.full((len(rows), max(map(len, rows))), -1, dtype=torch.int32)
        for i, row in enumerate(rows):
            table[i, : len(row)] = torch.tensor(row, dtype=torch.int32)
        return table.to(self.device)

    def slots(self, scene: Scene, wording: Wording) -> Tensor:
        """Word scenes as rows of phrase numbers (B, 15)."""
        fixed, count = self.fixed, scene.count
        empty = torch.full_like(count, fixed[""])

        def told(values: Tensor) -> Tensor:
            return values.gather(1, wording.mention)

        nouns = self.nouns[told(scene.colour), told(scene.thing), told(wording.article)]
        worn = self.worn[told(scene.wearable), told(scene.wearable_colour), told(wording.worn)]
        present = torch.arange(SLOTS, device=self.device) < count[:, None]
        nouns, worn = (torch.where(present, phrase, empty[:, None]) for phrase in (nouns, worn))
        relation, tail = self._relation(scene, wording)
        joint = torch.where(count == 3, torch.full_like(empty, fixed["and"]), empty)
        first, second = self._background(scene, wording)
        fronted = wording.fronted & (count > 0) & ((first != empty) | (second != empty))
        comma = torch.where(fronted, torch.full_like(empty, fixed[","]), empty)
        front = [torch.where(fronted, phrase, empty) for phrase in (first, second)]
        back = [torch.where(fronted, empty, phrase) for phrase in (first, second)]
        prefix = torch.where(fronted, empty, self.prefixes[wording.prefix])
        words = [nouns[:, 0], worn[:, 0], relation, nouns[:, 1], worn[:, 1], tail, joint, nouns[:, 2], worn[:, 2]]
        return torch.stack([*front, comma, prefix, *words, *back], 1)

    def _relation(self, scene: Scene, wording: Wording) -> tuple[Tensor, Tensor]:
        """Relate the first two objects named; left and right only where they clearly are."""
        empty = torch.full_like(scene.count, self.fixed[""])
        first, second = wording.mention[:, :1], wording.mention[:, 1:2]
        offset = (scene.x.gather(1, second) - scene.x.gather(1, first))[:, 0]
        swapped = wording.mention[:, 0] == 1

        def say(name: str) -> Tensor:
            return self.relations[name][wording.relation]

        beside = torch.where(offset > 0, say("left"), say("right"))
        both = torch.where(offset > 0, say("on the left and"), say("on the right and"))
        above = torch.where(swapped, say("below"), say("above"))
        spatial = (wording.form != AND) & (scene.stacked | (offset.abs() > 0.3))
        sides = spatial & (wording.form == BOTH_SIDES) & ~scene.stacked
        relation = torch.where(scene.stacked, above, torch.where(sides, both, beside))
        relation = torch.where(spatial, relation, say("and"))
        relation = torch.where(scene.count == 3, torch.full_like(empty, self.fixed[","]), relation)
        right = torch.full_like(empty, self.fixed["on the right"])
        other_side = torch.where(offset > 0, right, torch.full_like(empty, self.fixed["on the left"]))
        tail = torch.where(sides & (scene.count == 2), other_side, empty)
        return torch.where(scene.count >= 2, relation, empty), tail

    def _background(self, scene: Scene, wording: Wording) -> tuple[Tensor, Tensor]:
        empty = torch.full_like(scene.count, self.fixed[""])
        way, sky_way = wording.background.unbind(1)
        standing, place = scene.backdrop == GROUND_AND_SKY, scene.backdrop == PLACE
        ground, sky, where = self.ground[scene.ground, way], self.sky[scene.sky, sky_way], self.place[scene.place, way]
        first = torch.where(standing & (wording.told <= 1), ground, empty)
        second = torch.where((wording.told == 0) | (wording.told == 2), sky, empty)
        second = torch.where(standing, second, torch.where(wording.told < 3, torch.where(place, where, sky), empty))
        bare = scene.count == 0
        alone = torch.where(place, self.place_alone[scene.place, way], self.sky_alone[scene.sky, way])
        alone = torch.where(standing, self.ground_alone[scene.ground, way], alone)
        return torch.where(bare, alone, first), torch.where(bare, torch.where(standing, sky, empty), second)

    def told(self, scene: Scene, wording: Wording) -> Tensor:
        """Return whom each phrase of `slots` speaks of: (B, 15) uint8, owner codes of `training.world`, or NO_OWNER."""
        no_owner, top = torch.full_like(scene.count, NO_OWNER), torch.full_like(scene.count, TOP_OWNER)
        first = torch.where(scene.backdrop == GROUND_AND_SKY, GROUND_OWNER, top)
        nouns = [1 + wording.mention[:, i] for i in range(SLOTS)]
        worn = [1 + SLOTS + wording.mention[:, i] for i in range(SLOTS)]
        things = [nouns[0], worn[0], no_owner, nouns[1], worn[1], no_owner, no_owner, nouns[2], worn[2]]
        return torch.stack([first, top, no_owner, no_owner, *things, first, top], 1).to(torch.uint8)

    def assemble(self, slots: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Join phrases into token ids.

        Args:
            slots: (B, n) phrase numbers; told: (B, n) whom they speak of.

        Returns:
            ids (B, 40) int64: start, phrases, then the end token, which is also what the tokenizer pads with; and whom
            the tokens speak of (B, 40) uint8, start, end and padding of NO_OWNER.
        """
        tokens = self.tokens[slots]
        told = told[:, :, None].expand_as(tokens).flatten(1)
        tokens = tokens.flatten(1)
        kept = tokens >= 0
        order = (~kept).to(torch.int8).argsort(dim=1, stable=True)[:, : MAX_TOKENS - 2]
        there = torch.arange(order.shape[1], device=self.device) < kept.sum(1, keepdim=True)
        inner = slice(1, 1 + order.shape[1])
        ids = torch.full((len(slots), MAX_TOKENS), self.end, dtype=torch.int64, device=self.device)
        ids[:, 0] = self.start
        ids[:, inner] = torch.where(there, tokens.gather(1, order).long(), ids[:, inner])
        spoken_of = torch.full_like(ids, NO_OWNER, dtype=torch.uint8)
        spoken_of[:, inner] = torch.where(there, told.gather(1, order), spoken_of[:, inner])
        return ids, spoken_of

    def caption_and_told(self, scene: Scene, wording: Wording) -> tuple[Tensor, Tensor]:
        """Return the token ids (B, 40) of the scenes' captions, and whom each token speaks of (B, 40)."""
        return self.assemble(self.slots(scene, wording), self.told(scene, wording))

    def caption(self, scene: Scene, wording: Wording) -> Tensor:
        """Return the token ids (B, 40) of the scenes' captions."""
        return self.caption_and_told(scene, wording)[0]

    def encode(self, texts: list[str]) -> Tensor:
        """Return the token ids (B, 40) of free texts."""
        ids = self.tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)["input_ids"]
        return torch.tensor(ids, device=self.device)

    def text(self, ids: Tensor) -> list[str]:
        """Return the words of token ids (B, 40)."""
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)


def only(scene: Scene, slot: Tensor) -> Scene:
    """Return the scenes as if they held one object alone: slot (B,) says which."""
    moved = {}
    for name in "thing outline colour wearable wearable_colour x y size angle flip shadow".split():
        values = getattr(scene, name)
        moved[name] = values.gather(1, slot[:, None]).expand(-1, SLOTS)
    return replace(scene, **moved, count=scene.count.clamp(max=1))


def hard_negative(dice: Dice, scene: Scene) -> Scene:
    """Change one fact a scene: sides, colours, what is worn, one object, or the background.

    Where the chosen change changes nothing ("a cat and a dog" has no sides), the caption stays equal to the true one;
    the caller leaves such pairs out.
    """
    batch = len(scene)
    kind = dice.integers(5, batch)[:, None]
    slot = (
        torch.arange(SLOTS, device=dice.device)
        == (dice.uniform(0, 1, batch) * scene.count.clamp(min=1)).long()[:, None]
    )
    swap = torch.tensor([1, 0, 2], device=dice.device)
    dyeable = torch.tensor([name in RECOLOURED for name in NAMES], device=dice.device)[scene.thing]
    shade = 1 + dice.integers(len(COLOUR_NAMES) - 1, batch, SLOTS)
    other = (scene.thing + 1 + dice.integers(len(NAMES) - 1, batch, SLOTS)) % len(NAMES)
    thing = torch.where((kind == 3) & slot, other, scene.thing)
    colour = torch.where((kind == 1) & dyeable & slot, shade, torch.where((kind == 3) & slot, 0, scene.colour))
    worn = torch.where((kind == 2).expand_as(slot), scene.wearable[:, swap], scene.wearable)
    worn_colour = torch.where((kind == 2).expand_as(slot), scene.wearable_colour[:, swap], scene.wearable_colour)
    x = torch.where(kind == 0, -scene.x, scene.x)
    elsewhere = kind[:, 0] == 4
    ground = torch.where(
        elsewhere, (scene.ground + 1 + dice.integers(len(GROUNDS) - 1, batch)) % len(GROUNDS), scene.ground
    )
    sky = torch.where(elsewhere, (scene.sky + 1 + dice.integers(len(SKIES) - 1, batch)) % len(SKIES), scene.sky)
    place = torch.where(elsewhere, (scene.place + 1 + dice.integers(len(PLACES) - 1, batch)) % len(PLACES), scene.place)
    return replace(
        scene,
        thing=thing,
        colour=colour,
        wearable=worn,
        wearable_colour=worn_colour,
        x=x,
        ground=ground,
        sky=sky,
        place=place,
    )


def _dyed(colour: str, name: str) -> str:
    return f"{colour} {name}".strip()


def _cycled(texts: tuple[str, ...]) -> list[str]:
    return [texts[i % len(texts)] for i in range(_WAYS)]
