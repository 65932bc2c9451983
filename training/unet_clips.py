"""Stage: the denoiser once more, on clips, with the full-frame self-attention of an edit.

From pictures alone it never learns to look at other frames, and their keys only disturb it. Here all frames of a moving
scene are denoised at one timestep, every query seeing all of them, beside single frames, so that pictures are not
forgotten.

    python -m training.unet_clips --minutes 8 --rate 0.5
"""

from dataclasses import replace

from training.loop import parse_options
from training.unet import train

_FRAMES = 8
_CLIPS_SHARE = 0.75

if __name__ == "__main__":
    train(replace(parse_options("unet_clips", batch=256), resume=True), _FRAMES, _CLIPS_SHARE)
