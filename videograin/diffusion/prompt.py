"""From the regions' prompts to the target prompt and its token spans."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videograin.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TokenSpan = tuple[int, int]
"""(start, stop) of a phrase in the token sequence, the start token included in the count."""

PREPOSITIONS = re.compile(
    r"(about|above|across|against|along|amid|among|around|at|before|behind|below|beneath|beside|between|beyond|by|"
    r"during|from|in|inside|into|near|of|off|on|onto|outside|over|past|through|under|underneath|underwater|upon|"
    r"with|within|without)\b",
    re.IGNORECASE,
)
"""A background phrase that starts with one of these needs no comma."""

PUNCTUATION = ".,;:!?…\"'`“”„‘’‚«»()[]{}*/\\|~–—-。，、！？"
"""What may stand around a phrase and is no part of it. Symbols are: "🐼", "C++" and "C#" are words like others."""

_PUNCTUATION = f"[{re.escape(PUNCTUATION)}]"
_SYMBOL = rf"[^\w\s<>{re.escape(PUNCTUATION)}]"
_GLUED = re.compile(f"(?<={_SYMBOL})(?={_PUNCTUATION})|(?<={_PUNCTUATION})(?={_SYMBOL})")
"""Where CLIP's tokenizer would make one token of a symbol and the punctuation beside it."""

_WORD_BEFORE = re.compile(r"[^\W_]*$")

_WEIGHT = re.compile(r"\(([^()]*[^()\s][^()]*):\s*(\d+\.?\d*|\.\d+)\s*\)")
_NETWORK = re.compile(r"<(lora|lyco|hypernet):[^>]*>", re.IGNORECASE)

MAX_WEIGHT = 2.0
"""Embeddings of more than twice their length are unlike any that the denoiser has seen."""


@dataclass(frozen=True)
class WeightedPrompt:
    """A prompt and how much some of its words count.

    Attributes:
        text: the words alone.
        weights: (start, stop, weight) of characters of the text; all others have weight 1.
    """

    text: str
    weights: tuple[tuple[int, int, float], ...] = ()

    def trimmed(self) -> "WeightedPrompt":
        """Return the prompt without the punctuation and blanks around it."""
        text = local_prompt(self.text)
        start = self.text.index(text)
        moved = ((max(0, first - start), min(len(text), last - start), weight) for first, last, weight in self.weights)
        return WeightedPrompt(text, tuple(moved))


@dataclass(frozen=True)
class PromptSpans:
    """Where the regions' phrases stand in a prompt.

    Attributes:
        spans: for each phrase (start, stop) in tokens, None for an empty phrase.
        dropped: the end of the prompt that does not fit into the text encoder, empty if all fits.
        inside: for each phrase that is only a part of a longer word, that word: "man" in "Spiderman".
    """

    spans: tuple[TokenSpan | None, ...]
    dropped: str
    inside: tuple[tuple[str, str], ...] = ()


def compose_target_prompt(phrases: Sequence[str], background: str = "") -> str:
    """Join the regions' phrases and a background phrase: "a panda and a fire engine on grass".

    Args:
        phrases: one for each region; empty ones are left out.
        background: "on grass" follows as it is, a phrase without a preposition follows after a comma.

    Raises:
        PromptError: nothing to join.
    """
    words = [trimmed for phrase in phrases if (trimmed := _without_stops(phrase))]
    background = background.strip()
    if not words and not background:
        raise PromptError("The target prompt is empty. Say what at least one region becomes.")
    objects = ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1] if words else ""
    if not objects or not background:
        return objects or background
    joint = " " if PREPOSITIONS.match(background) else ", "
    return objects + joint + background


def local_prompt(phrase: str) -> str:
    """Return the phrase without the punctuation and blanks around it, as it is sought and encoded alone.

    Symbols stay, angle brackets among them: "<cat>" may be a textual inversion.
    """
    return phrase.strip(PUNCTUATION + string.whitespace)


def phrase_places(sentence: str, phrase: str) -> list[tuple[int, int]]:
    """Return where a phrase stands in a sentence, (start, stop) in characters; case does not matter.

    Whole words come first, then parts of longer ones: of "a caterpillar and a cat" the second is "a cat".
    """

    def is_part(place: tuple[int, int]) -> bool:
        before, after = sentence[: place[0]][-1:], sentence[place[1] :][:1]
        return before.isalnum() or after.isalnum()

    found = re.finditer(f"(?=({re.escape(phrase)}))", sentence, re.IGNORECASE) if phrase else ()
    return sorted((each.span(1) for each in found), key=is_part)


def read_prompt(prompt: str) -> WeightedPrompt:
    """Take weights out of a prompt: in "(a panda:1.3) on grass" the panda counts 1.3 times as much.

    Symbols are set apart from the punctuation beside them, so that a phrase has the same tokens wherever it stands.

    Raises:
        PromptError: a weight above `MAX_WEIGHT`, or a network to load such as "<lora:name:0.8>".
    """
    if found := _NETWORK.search(prompt):
        raise PromptError(
            f"'{found[0]}' in a prompt loads nothing here. Take it out of the words and add the LoRA itself to the "
            "edit (--lora on the command line, adapters in a project)."
        )
    text, weights, done = "", [], 0
    prompt = _GLUED.sub(" ", prompt)
    for match in _WEIGHT.finditer(prompt):
        text += prompt[done : match.start()]
        if (weight := float(match[2])) > MAX_WEIGHT:
            raise PromptError(f"The weight of '{match[1].strip()}' is {match[2]}; choose 0 to {MAX_WEIGHT:g}.")
        weights.append((len(text), len(text) + len(match[1]), weight))
        text += match[1]
        done = match.end()
    return WeightedPrompt(text + prompt[done:], tuple(weights))


def find_token_spans(tokenizer: "PreTrainedTokenizerBase", prompt: str, phrases: Sequence[str]) -> PromptSpans:
    """Find each phrase's tokens in the prompt; phrases that share words get an occurrence each.

    Longer phrases choose first, equal ones in their order. A phrase that occurs less often than it is asked for
    shares its first occurrence. Case and punctuation around a phrase do not matter. Whole words come before a part of
    a longer one, which is found too, as the released code finds it: tokens are compared, not letters.

    Args:
        tokenizer: CLIP's tokenizer.
        prompt: the target prompt in which the phrases are looked for.
        phrases: one for each region; empty ones have no span.

    Raises:
        PromptError: a phrase is not in the prompt, or stands beyond the text encoder's last token.
    """
    limit = tokenizer.model_max_length - 1
    prompt_ids = _token_ids(tokenizer, prompt)
    phrase_ids = [_token_ids(tokenizer, local_prompt(phrase)) for phrase in phrases]
    words = _word_starts(tokenizer, prompt)
    spans = assign_spans(prompt_ids, phrase_ids, [start == word for start, word in words])
    for phrase, ids, span in zip(phrases, phrase_ids, spans, strict=True):
        if ids and span is None:
            raise PromptError(
                f"The phrase '{phrase}' is not in the target prompt '{prompt}'. Use words from the prompt."
            )
        if span is not None and span[1] > limit:
            raise PromptError(
                f"The phrase '{phrase}' ends at token {span[1]} of the target prompt; only {limit - 1} words and word "
                "parts fit. Shorten the prompt or move the phrase to its start."
            )
    inside = tuple(
        (phrase, prompt[words[span[0] - 1][1] :].split()[0].strip(PUNCTUATION))
        for phrase, span in zip(phrases, spans, strict=True)
        if span is not None and words[span[0] - 1][0] != words[span[0] - 1][1]
    )
    return PromptSpans(spans, dropped_words(tokenizer, prompt), inside)


def assign_spans(
    prompt_ids: Sequence[int], phrases: Sequence[Sequence[int]], starts_word: Sequence[bool] = ()
) -> tuple[TokenSpan | None, ...]:
    """Give each phrase an occurrence in the prompt, both as token ids without start and end token.

    Args:
        prompt_ids: of the prompt.
        phrases: of each phrase.
        starts_word: for each of the prompt's tokens whether a word begins with it; none says so of all.

    Returns:
        One (start, stop) for each phrase, counted with the start token; None where it is empty or absent.
    """
    spans: list[TokenSpan | None] = [None] * len(phrases)
    taken: set[int] = set()
    for index in sorted(range(len(phrases)), key=lambda i: -len(phrases[i])):
        found = _occurrences(prompt_ids, phrases[index])
        if starts_word:
            found.sort(key=lambda span: not starts_word[span[0] - 1])  # stable: of each kind the first comes first
        free = [span for span in found if taken.isdisjoint(range(*span))]
        if found:
            span = (free or found)[0]
            spans[index] = span
            taken.update(range(*span))
    return tuple(spans)


def _occurrences(prompt_ids: Sequence[int], phrase_ids: Sequence[int]) -> list[TokenSpan]:
    width = len(phrase_ids)
    if width == 0:
        return []
    starts = range(len(prompt_ids) - width + 1)
    return [(i + 1, i + 1 + width) for i in starts if list(prompt_ids[i : i + width]) == list(phrase_ids)]


def _word_starts(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[tuple[int, int]]:
    """Return where each token starts, and where the word starts that it is a part of, as places in the prompt."""
    starts = [start for start, _ in token_offsets(tokenizer, prompt)]
    return [(start, len(_WORD_BEFORE.sub("", prompt[:start]))) for start in starts]


def dropped_words(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """Return the end of a prompt that does not fit into the text encoder, from the first word cut; empty if all fit."""
    offsets, kept = token_offsets(tokenizer, prompt), tokenizer.model_max_length - 2  # beside start and end token
    if len(offsets) <= kept:
        return ""
    return prompt[prompt.rfind(" ", 0, offsets[kept][0]) + 1 :]


def token_offsets(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[tuple[int, int]]:
    """Return the first and last character of each token, without start and end token."""
    return tokenizer(
        text, add_special_tokens=False, truncation=False, verbose=False, return_offsets_mapping=True
    ).offset_mapping


def _without_stops(phrase: str) -> str:
    """Return a phrase as it stands in a sentence; the brackets of a weight stay."""
    return phrase.strip(".,;" + string.whitespace) if _WEIGHT.search(phrase) else local_prompt(phrase)


def _token_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
