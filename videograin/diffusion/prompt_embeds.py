"""Embeddings of an edit's source and target prompt, and the regions whose phrase each token belongs to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from videograin.diffusion.attention.layout import span_regions
from videograin.diffusion.prompt import (
    TokenSpan,
    WeightedPrompt,
    compose_target_prompt,
    dropped_words,
    find_token_spans,
    read_prompt,
    token_offsets,
)
from videograin.errors import PromptError
from videograin.region import Convention, EditRequest, Region


@dataclass(frozen=True)
class PromptEmbeds:
    """The prompts of an edit as the networks receive them; halves are 2 with classifier-free guidance, else 1.

    Attributes:
        target_prompt: as given by the user or composed of the regions' phrases.
        target: (halves, 77, C), with local embeddings in the spans of the regions' phrases.
        plain_target: (halves, 77, C), without them, for the ControlNet.
        source: (2, 77, C), of the empty prompt and the source prompt.
        token_regions: (77, R) bool, the regions whose phrase a token belongs to.
        warnings: words that did not fit or mean less than they seem to, in plain words for the user.
    """

    target_prompt: str
    target: Tensor
    plain_target: Tensor
    source: Tensor
    token_regions: Tensor
    warnings: tuple[str, ...]


def embed_prompts(
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: CLIPTextModel,
    request: EditRequest,
    device: torch.device,
    expanded: Callable[[str], str],
) -> PromptEmbeds:
    """Encode an edit's prompts.

    Args:
        tokenizer: CLIP's tokenizer.
        text_encoder: CLIP's text tower.
        request: gives the source prompt, the regions' phrases and the target prompt, if any.
        device: where the embeddings are wanted.
        expanded: writes out what stands for several tokens, such as a textual inversion.

    Raises:
        PromptError: nothing to aim at, a phrase that the target prompt does not hold, a weight out of range.
    """
    phrases = [_phrase(region, expanded) for region in request.regions]
    words = [region.prompt for region in request.regions]
    target_prompt = request.target_prompt or compose_target_prompt(words, request.background)
    full_prompt = read_prompt(expanded(target_prompt))
    found = find_token_spans(tokenizer, full_prompt.text, [phrase.text for phrase in phrases])
    # The release gives the unconditional half no words and tells the negative prompt to the ControlNet alone.
    negative = "" if request.settings.convention == Convention.RELEASE else request.negative_prompt
    others = [read_prompt(expanded(words)) for words in ("", request.source_prompt, negative, request.negative_prompt)]
    prompts = [*others, full_prompt, *phrases]
    embeds = encode_prompts(tokenizer, text_encoder, [prompt.text for prompt in prompts]).to(device)
    weights = torch.stack([token_weights(tokenizer, prompt) for prompt in prompts])
    for own, phrase, span in zip(weights[5:], phrases, found.spans, strict=True):
        if span is not None and not phrase.weights:  # then those count that the target prompt gives to its words
            own[1 : 1 + span[1] - span[0]] = weights[4, span[0] : span[1]]
    embeds *= weights[..., None].to(embeds)
    empty, source, unconditional, plain_unconditional, target = embeds[:5]
    local_target = insert_local_embeds(target, embeds[5:], found.spans)
    halves = 2 if request.settings.guidance_scale > 1 else 1
    dropped = {
        "prompt": found.dropped,
        "source prompt": dropped_words(tokenizer, others[1].text),
        "negative prompt": dropped_words(tokenizer, others[3].text),
    }
    return PromptEmbeds(
        target_prompt=target_prompt,
        target=torch.stack([unconditional, local_target])[-halves:],
        plain_target=torch.stack([plain_unconditional, target])[-halves:],
        source=torch.stack([empty, source]),
        token_regions=span_regions(found.spans, device, tokens=embeds.shape[1]),
        warnings=(
            *(f"The {what} is too long; these words were left out: {cut}" for what, cut in dropped.items() if cut),
            *(
                f"'{phrase}' is in the target prompt only as a part of '{word}'; that part becomes it."
                for phrase, word in found.inside
            ),
        ),
    )


@torch.no_grad()
def encode_prompts(tokenizer: PreTrainedTokenizerBase, text_encoder: CLIPTextModel, prompts: Sequence[str]) -> Tensor:
    """Encode prompts, cut and padded to the tokenizer's length, as (P, 77, C) on the text encoder's device."""
    tokens = tokenizer(
        list(prompts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    uses_mask = getattr(text_encoder.config, "use_attention_mask", False)
    mask = tokens.attention_mask.to(text_encoder.device) if uses_mask else None
    return text_encoder(tokens.input_ids.to(text_encoder.device), attention_mask=mask).last_hidden_state


def insert_local_embeds(prompt_embeds: Tensor, local_embeds: Tensor, spans: Sequence[TokenSpan | None]) -> Tensor:
    """Replace each span's embeddings by those of its phrase encoded alone; where spans overlap the shorter one wins.

    Args:
        prompt_embeds: (77, C) of the target prompt.
        local_embeds: (R, 77, C) of the regions' phrases, each behind its own start token.
        spans: one for each region.

    Returns:
        (77, C), a copy.
    """
    result = prompt_embeds.clone()
    found = [(span, embeds) for span, embeds in zip(spans, local_embeds, strict=True) if span is not None]
    for (start, stop), embeds in sorted(found, key=lambda item: (item[0][0] - item[0][1], item[0][0])):
        result[start:stop] = embeds[1 : 1 + stop - start]
    return result


def token_weights(tokenizer: PreTrainedTokenizerBase, prompt: WeightedPrompt) -> Tensor:
    """Return the weight of each of a prompt's tokens, (77,) float32."""
    result = torch.ones(tokenizer.model_max_length)
    for index, (start, stop) in enumerate(token_offsets(tokenizer, prompt.text)[: len(result) - 2], 1):
        for first, last, weight in prompt.weights:
            if start < last and stop > first:
                result[index] = weight
    return result


def _phrase(region: Region, expanded: Callable[[str], str]) -> WeightedPrompt:
    phrase = read_prompt(expanded(region.prompt)).trimmed()
    if region.is_edited and not phrase.text:
        raise PromptError(
            f"{region.title}: its prompt '{region.prompt}' is punctuation alone. Say what it becomes, or leave it "
            "empty to keep the object."
        )
    return phrase
