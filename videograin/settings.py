"""How an edit is denoised: every setting, its choices and its range."""

from dataclasses import dataclass
from enum import StrEnum

from videograin.errors import SettingsError, check_range

MAX_SEED = 2**63 - 1

MAX_STEPS = 1000
"""The noise schedule of every Stable Diffusion has this many timesteps."""

MAX_LEADING_STEPS = MAX_STEPS // 2
"""Leading spacing goes by whole timesteps; with more steps than this it would go by one and start far below the top."""

MAX_WINDOW_FRAMES, MAX_ANCHOR_FRAMES = 1024, 64
"""More than any device can hold at once."""

MAX_CACHE_INTERVAL = 10
"""Beyond it hardly anything of a picture is left in the steps between."""

MAX_TRAJECTORY_LEVELS = 4
"""Resolutions of Stable Diffusion's UNet."""

MAX_CROSS_STRENGTH = 16.0
"""Modulation fades with the fifth power of the timestep: at 60 % noise λ = 13 is what 1 is at full noise."""


class Convention(StrEnum):
    """Which reading of the method applies (docs/architecture.md has the table): the paper's or its released code's."""

    PAPER = "paper"
    RELEASE = "release"


class AttentionMode(StrEnum):
    """Which frames' keys a frame's queries see in self-attention.

    In windows: those of its own window and of the anchors (`diffusion/windows`); a clip that fits in one is `FULL`.
    """

    WINDOWS = "windows"
    FULL = "full"
    FIRST_FRAME = "first_frame"
    SPARSE_CAUSAL = "sparse_causal"
    PER_FRAME = "per_frame"

    @property
    def is_joint(self) -> bool:
        """Whether all frames of a forward see each other."""
        return self in (AttentionMode.WINDOWS, AttentionMode.FULL)


class Sampler(StrEnum):
    """By which rule denoising goes from one noise level to the next (`diffusion/shortcuts/samplers.py`).

    The method is defined on DDIM, by which clips are inverted whatever the sampler is. `LCM` and `TCD` are for models
    and LoRAs that were distilled for them.
    """

    DDIM = "ddim"
    DPM_SOLVER = "dpm_solver++"
    LCM = "lcm"
    TCD = "tcd"


class TimestepSpacing(StrEnum):
    """Which timesteps an edit passes through: trailing starts at the noise level that `strength` says.

    Leading, the release's, starts below it, the further the fewer steps there are: 10 steps at 901 instead of 999.
    """

    CONVENTION = "convention"
    LEADING = "leading"
    TRAILING = "trailing"


@dataclass(frozen=True)
class EditSettings:
    """How an edit is denoised.

    Attributes:
        num_inference_steps: timesteps of the full noise schedule; with leading spacing at most `MAX_LEADING_STEPS`.
        guidance_scale: classifier-free guidance; 1 switches it off.
        strength: noise level from which denoising starts, as a share of the schedule; the inversion goes only that
            far. 1 starts from full noise.
        modulated_fraction: share of the denoising steps, from the first, in which attention is modulated.
        self_strength: λ of self-attention (0.3 in the paper).
        cross_strength: λ of cross-attention (1.0 in the paper, which starts from full noise; an edit from less noise
            needs more, for the modulation fades with the fifth power of the timestep).
        mask_growth: pixels by which edited regions grow, where no other region is, for a shape unlike theirs.
        inject_steps: steps, from the first, that take features over from the inversion (PnP).
        controlnet_conditioning_scale: factor on the ControlNets' residuals.
        convention: which reading of the method, see docs/architecture.md.
        timestep_spacing: trailing or leading; as a rule that of the convention.
        attention_mode: which frames self-attention sees.
        window_frames: most frames that see one another where the mode is `WINDOWS`; a longer clip is divided into
            windows, which have as many frames less, but no fewer than half of them, as there are anchors.
        anchor_frames: frames spread over a divided clip that its windows see besides, so that objects look the same in
            all of them. A window sees half of `window_frames` at most: some that all see, and those nearest to it.
        window_overlap: frames that neighbouring windows share, in which one fades into the next; less than half of a
            window in any case.
        joint_group_norm: whether GroupNorm statistics span all frames.
        freeu: whether the UNet's skip connections count less and its backbone more (FreeU, arXiv 2309.11497).
        trajectory_attention: whether tokens also attend along optical flow.
        trajectory_levels: at how many resolutions, from the highest.
        temporal_smoothing: how far the clean latents that each step predicts are drawn to their mean along optical
            flow, as a factor on the share of noise in them (`smoothing.py`; not in the paper).
        blend_background: whether the source is kept outside the edited regions: its latents at every step, and its
            pixels in the end.
        focus: whether the edit of a file works on a crop around the edited regions and is laid into the source, so that
            the result has the source's own size (`videograin.production`); the pipeline edits the frames it is given.
        variation: share of fresh noise, in which the edited regions start besides the inversion's: with none, a seed
            hardly changes them; with 1, nothing but the noise level holds them to the source's shapes. Without an
            inversion all noise is fresh, and a seed changes them in any case.
        seed: of the fresh noise, and of the noise in the kept part where no generator is given.
        sampler: the rule of a denoising step.
        guidance_start, guidance_end: shares of the denoising steps between which there is guidance
            (arXiv 2404.07724); in the others the unconditional half is not computed, which halves their cost.
        key_frames: frames whose keys a frame sees besides its own in unmodulated self-attention at the largest
            resolution; 0 stands for all.
        cache_interval: from one computation of the UNet's deep part to the next, in steps of the inversion and of what
            follows the modulated steps (DeepCache, arXiv 2312.00858); 1 computes it in each.
        shared_control: whether what the ControlNets make of the target prompt serves the unconditional half as well.
        inversion: whether objects start from the inversion's noise. Without it they start from fresh noise over the
            source (SDEdit, arXiv 2108.01073), which saves the inversion's time and holds less of their shapes.

    Raises:
        SettingsError: a value outside its range.
    """

    num_inference_steps: int = 50
    guidance_scale: float = 7.5
    strength: float = 1.0
    modulated_fraction: float = 0.3
    self_strength: float = 0.3
    cross_strength: float = 1.0
    mask_growth: int = 0
    inject_steps: int = 0
    controlnet_conditioning_scale: float = 1.0
    convention: Convention = Convention.PAPER
    timestep_spacing: TimestepSpacing = TimestepSpacing.CONVENTION
    attention_mode: AttentionMode = AttentionMode.WINDOWS
    window_frames: int = 16
    anchor_frames: int = 4
    window_overlap: int = 2
    joint_group_norm: bool = False
    freeu: bool = False
    trajectory_attention: bool = True
    trajectory_levels: int = 1
    temporal_smoothing: float = 0.0
    blend_background: bool = True
    focus: bool = True
    variation: float = 0.0
    seed: int = 0
    sampler: Sampler = Sampler.DDIM
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    key_frames: int = 0
    cache_interval: int = 1
    shared_control: bool = False
    inversion: bool = True

    def __post_init__(self) -> None:
        most_steps = MAX_LEADING_STEPS if self.spacing == TimestepSpacing.LEADING else MAX_STEPS
        check_range("num_inference_steps", self.num_inference_steps, 1, most_steps)
        check_range("guidance_scale", self.guidance_scale, 1, 50)
        check_range("strength", self.strength, 0.02, 1)
        check_range("modulated_fraction", self.modulated_fraction, 0, 1)
        check_range("self_strength", self.self_strength, 0, 4)
        check_range("cross_strength", self.cross_strength, 0, MAX_CROSS_STRENGTH)
        check_range("mask_growth", self.mask_growth, 0, 256)
        check_range("inject_steps", self.inject_steps, 0, self.num_inference_steps)
        check_range("controlnet_conditioning_scale", self.controlnet_conditioning_scale, 0, 2)
        check_range("window_frames", self.window_frames, 1, MAX_WINDOW_FRAMES)
        check_range("anchor_frames", self.anchor_frames, 0, MAX_ANCHOR_FRAMES)
        check_range("window_overlap", self.window_overlap, 0, MAX_WINDOW_FRAMES)
        check_range("trajectory_levels", self.trajectory_levels, 1, MAX_TRAJECTORY_LEVELS)
        check_range("temporal_smoothing", self.temporal_smoothing, 0, 1)
        check_range("variation", self.variation, 0, 1)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_range("guidance_start", self.guidance_start, 0, 1)
        check_range("guidance_end", self.guidance_end, self.guidance_start, 1)
        check_range("key_frames", self.key_frames, 0, MAX_WINDOW_FRAMES)
        check_range("cache_interval", self.cache_interval, 1, MAX_CACHE_INTERVAL)
        if self.inject_steps and not self.inversion:
            raise SettingsError(
                f"inject_steps is {self.inject_steps}, but without an inversion there are no features to inject. "
                "Set inject_steps to 0, or inversion to true."
            )

    @property
    def steps_run(self) -> int:
        """Denoising steps that are run: the share `strength` of all, at least one."""
        return max(1, round(self.strength * self.num_inference_steps))

    @property
    def inversion_steps(self) -> int:
        """Steps from the clip to the noise; with leading spacing the clip counts as the lowest level itself."""
        return (self.steps_run - (self.spacing == TimestepSpacing.LEADING)) if self.inversion else 0

    @property
    def spacing(self) -> TimestepSpacing:
        """The spacing that applies: the paper's convention has trailing, the release's leading."""
        if self.timestep_spacing != TimestepSpacing.CONVENTION:
            return self.timestep_spacing
        return TimestepSpacing.LEADING if self.convention == Convention.RELEASE else TimestepSpacing.TRAILING

    @property
    def modulated_steps(self) -> int:
        """How many of the steps run, from the first, are modulated."""
        return round(self.modulated_fraction * self.steps_run)

    def is_guided(self, index: int) -> bool:
        """Return whether there is guidance in the denoising step of this index."""
        first, stop = (round(share * self.steps_run) for share in (self.guidance_start, self.guidance_end))
        return self.guidance_scale > 1 and first <= index < stop

    def halves_at(self, index: int) -> int:
        """Return how many copies of the clip the denoising step of this index computes: two where there is guidance."""
        return 2 if self.is_guided(index) else 1

    def deep_step(self, index: int) -> int:
        """Return the denoising step whose deep features the one of this index uses: its own where it computes them.

        A step with guidance needs them of both halves, and computes them where the step that was to do it had one.
        """
        first = max(self.modulated_steps, self.inject_steps)
        if index < first:
            return index
        due = index - (index - first) % self.cache_interval
        guided = (each for each in range(index, due, -1) if self.halves_at(each) > self.halves_at(due))
        return next(guided, due)

    def deep_inversion_step(self, index: int) -> int:
        """Return the inversion step whose deep features the one of this index uses."""
        return index - index % self.cache_interval
