"""Stage: the denoiser once more, on clips, with the full-frame self-attention of an edit, and on what edits ask of it.

From pictures alone it never learns to look at other frames, and their keys only disturb it. Here all frames of a moving
scene are denoised at one timestep, every query seeing all of them, beside single frames, so that pictures are not
forgotten. Half of the objects are drawn in the outline of another, since that is where an edit puts them, and most
scenes have a trace of what they showed before in their noise, since an edit starts from the inversion of that
(`training.traces`).

    python -m training.unet_clips --minutes 8 --rate 0.5
"""

from dataclasses import replace

from training.loop import parse_options
from training.unet import Course, train

COARSEST = ("unet.down_blocks.3.", "unet.mid_block.resnets.", "unet.up_blocks.0.")

COURSE = Course(frames=8, clips=0.75, moulded=0.5, traces=0.7, kept=("text.", *COARSEST), mantissa=5)
"""Words and the layers of 4×4 cells are learnt by now. What stays as it is need not be kept once more in the history of
the weights, nor do bits that make no difference."""

if __name__ == "__main__":
    train(replace(parse_options("unet_clips", batch=256), resume=True), COURSE)
