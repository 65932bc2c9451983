"""The diffusers attention processors of ST-Layout attention.

They are stateless: what a step needs travels through `unet(..., cross_attention_kwargs={"step": AttentionStep})`.
Without a step they compute the UNet's ordinary attention, so that the UNet can serve other pipelines as well.
"""

from typing import cast

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttentionProcessor
from einops import rearrange
from torch import Tensor, nn

from videograin.diffusion.attention.layout import gather_keys
from videograin.diffusion.attention.modulation import SharedRegions, modulated_attention
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.recorder import INJECTED_ATTENTIONS
from videograin.diffusion.attention.step import AttentionStep, LevelModulation
from videograin.diffusion.attention.trajectory import trajectory_attention
from videograin.diffusion.shortcuts.key_frames import key_frame_attention
from videograin.region import AttentionMode


def install_layout_attention(network: UNet2DConditionModel | ControlNetModel) -> None:
    """Give every attention layer of a network the processor that modulates it by a layout, where it is given one."""
    processors = {
        name: (SelfAttentionProcessor if name.endswith("attn1.processor") else CrossAttentionProcessor)(
            name.removesuffix(".processor")
        )
        for name in network.attn_processors
    }
    network.set_attn_processor(cast(dict[str, AttentionProcessor], processors))


def foreign_processors(network: UNet2DConditionModel) -> list[str]:
    """Return the names of the classes of attention processors that a network has besides those of this file."""
    ours = SelfAttentionProcessor, CrossAttentionProcessor
    return sorted({type(each).__name__ for each in network.attn_processors.values() if not isinstance(each, ours)})


class SelfAttentionProcessor:
    """Self-attention over the frames that the mode names, modulated, then along trajectories."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,  # noqa: ARG002 (diffusers passes it)
        attention_mask: Tensor | None = None,  # noqa: ARG002
        temb: Tensor | None = None,  # noqa: ARG002
        step: AttentionStep | None = None,
    ) -> Tensor:
        """Attend from hidden states (halves·F, h·w, C) to those of the clip; same shape out."""
        if step is None:
            step = AttentionStep(frames=1)
        halves = hidden_states.shape[0] // step.frames
        query, key, value = upcast(attn, *project(attn, hidden_states, self._seen(hidden_states, halves, step)))
        query, key = self._exchange(query, key, step)
        query, key, value = (
            rearrange(x, "(b f) n (h d) -> b f n h d", b=halves, h=attn.heads) for x in (query, key, value)
        )
        out = self._attend(query, key, value, attn.scale, step)
        return project_out(attn, out.to(hidden_states.dtype).reshape(hidden_states.shape[0], -1, out.shape[-1]))

    def _seen(self, hidden_states: Tensor, halves: int, step: AttentionStep) -> Tensor:
        """Return the hidden states that keys and values come from, (halves·F, n, C), or with each half's anchors."""
        if step.keep_states is not None:
            step.keep_states(self.name, rearrange(hidden_states, "(b f) n c -> b (f n) c", b=halves))
        if step.anchor_states is None:
            return hidden_states
        anchors = step.anchor_states[self.name].to(hidden_states.device)
        anchors = rearrange(anchors, "b (f n) c -> b f n c", n=hidden_states.shape[1])
        own = rearrange(hidden_states, "(b f) n c -> b f n c", b=halves)
        return torch.cat([own, anchors], dim=1).flatten(0, 1)

    def _exchange(self, query: Tensor, key: Tensor, step: AttentionStep) -> tuple[Tensor, Tensor]:
        if self.name in INJECTED_ATTENTIONS:
            if step.record is not None:
                step.record.query_key[self.name] = query, key
            if step.inject is not None:
                query, key = step.inject.query_key[self.name]
        return query, key

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float, step: AttentionStep) -> Tensor:
        """Attend from (halves, F, n, heads, d) to the same frames and the anchors; returns (halves, F·n, heads·d)."""
        if step.self_attention is not None:
            return step.self_attention(self.name, query, key, value, scale)
        frames, tokens = query.shape[1:3]
        level = step.modulations.get(tokens)
        if level is None and tokens in step.key_frames:
            out = key_frame_attention(query, key, value, step.key_frames[tokens], scale)
        else:
            out = self._attend_to_all(query, key, value, scale, step, level)
        if tokens in step.trajectories:
            out = _heads_first(out)
            own_query, own_key = (_heads_first(x[:, :frames].flatten(1, 2)) for x in (query, key))
            out = trajectory_attention(own_query, own_key, out, step.trajectories[tokens], scale)
            out = rearrange(out, "b h n d -> b n h d")
        return out.flatten(2)

    def _attend_to_all(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float,
        step: AttentionStep,
        level: LevelModulation | None,
    ) -> Tensor:
        """Attend to all tokens that the mode names, modulated where there is a level; returns (halves, F·n, heads, d).

        Arguments as in `_attend`.
        """
        together = AttentionMode.FULL if step.mode.is_joint else AttentionMode.PER_FRAME
        queries = _heads_first(gather_keys(query, together))
        keys, values = (_heads_first(gather_keys(x, step.mode)) for x in (key, value))
        if level is None:
            out = attention(queries, keys, values, scale)
        else:
            out = _by_halves(queries, keys, values, level.self_strength, level.self_regions, scale, step.modulated_self)
        return rearrange(out, "(b g) h n d -> b (g n) h d", b=len(query))


class CrossAttentionProcessor:
    """Attention from pixels to text tokens, modulated so that each region attends to its own phrase."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,  # noqa: ARG002 (diffusers passes it)
        step: AttentionStep | None = None,
    ) -> Tensor:
        """Attend from hidden states (halves·F, h·w, C) to text embeddings (halves·F, 77, C'); same shape out."""
        assert attention_mask is None, "the modulation counts on all text tokens being visible"
        query, key, value = upcast(attn, *_project_text(attn, hidden_states, encoder_hidden_states, step))
        query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=attn.heads) for x in (query, key, value))
        level = step.modulations.get(query.shape[2]) if step is not None else None
        if step is not None and step.phrase_maps is not None:
            modulation = level if level is not None and step.modulated_cross[-1] else None
            step.phrase_maps.add(
                query[-step.frames :], key[-step.frames :], attn.scale,
                modulation and modulation.cross_strength, modulation and modulation.cross_regions,
            )  # fmt: skip
        if step is not None and step.cross_attention is not None:
            out = step.cross_attention(self.name, query, key, value, attn.scale)
        elif step is None or level is None:
            out = attention(query, key, value, attn.scale)
        else:
            out = _by_halves(
                query, key, value, level.cross_strength, level.cross_regions, attn.scale, step.modulated_cross
            )
        for reference in step.references if step is not None else ():
            out = out + reference.attend(attn, query)
        return project_out(attn, rearrange(out, "b h n d -> b n (h d)").to(hidden_states.dtype))


def _by_halves(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    strength: Tensor,
    regions: SharedRegions,
    scale: float,
    modulated: tuple[bool, ...],
) -> Tensor:
    """Modulate those halves of the batch that are to be modulated and leave the others plain."""
    chunks = zip(query.chunk(len(modulated)), key.chunk(len(modulated)), value.chunk(len(modulated)), strict=True)
    return torch.cat(
        [
            modulated_attention(q, k, v, strength, regions, scale) if is_modulated else attention(q, k, v, scale)
            for (q, k, v), is_modulated in zip(chunks, modulated, strict=True)
        ]
    )


def _project_text(
    attn: Attention, pixels: Tensor, text: Tensor, step: AttentionStep | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's queries of pixels, keys and values of text, which is that of its half in every frame."""
    if step is None or step.text_keys is None:
        return project(attn, pixels, text)
    if attn not in step.text_keys:
        step.text_keys[attn] = project(attn, pixels[:1], text[:: step.frames])[1:]
    key, value = (x.repeat_interleave(step.frames, 0) for x in step.text_keys[attn])
    return cast(nn.Module, attn.to_q)(pixels), key, value


def project(attn: Attention, queries_from: Tensor, keys_from: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's queries, and its keys and values, each (B, N, heads·d) of hidden states (B, N, C)."""
    to_query, to_key, to_value = (cast(nn.Module, layer) for layer in (attn.to_q, attn.to_k, attn.to_v))
    return to_query(queries_from), to_key(keys_from), to_value(keys_from)


def upcast(attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's queries, keys and values, in float32 where its model asks for that (`upcast_attention`, SD 2.x).

    It asks for scores q·kᵀ and a softmax in float32; queries and keys are projected in the model's precision all the
    same. On CUDA that holds without a cast: the fused kernels of PyTorch's attention multiply halves exactly into
    float32 accumulators, scale them there and keep them so through the softmax, and its plain fallback computes in
    float32; so do our kernels (`row_range_kernel`, `trajectory_kernel`) and `chunked_attention`. The modulation's bonus
    has a second column for what the first one rounds off (`modulation`); (1 − a_i) q_i is rounded once more, by no more
    than its projection was. Only the weights of the values are halves, as diffusers has them after its softmax. With
    all in float32 the kernels would be ten times slower.
    """
    if not attn.upcast_attention or query.is_cuda:
        return query, key, value
    return query.float(), key.float(), value.float()


def _heads_first(tokens: Tensor) -> Tensor:
    return rearrange(tokens, "b n h d -> b h n d")


def project_out(attn: Attention, hidden_states: Tensor) -> Tensor:
    """Return the layer's output (B, N, C) of what its heads have gathered (B, N, heads·d)."""
    for layer in cast(nn.ModuleList, attn.to_out):  # the projection, then dropout
        hidden_states = layer(hidden_states)
    return hidden_states
