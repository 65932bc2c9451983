"""The ffmpeg filters that turn a source's frames into a clip's: sampled in time, RGB in bt709, scaled and cropped."""

import re
from fractions import Fraction
from functools import cache

from videograin.media.ffmpeg import VideoInfo, run

JITTER = 0.25  # of a source frame: containers round timestamps, and a frame must not slip to the next sample for it
SCALE_FLAGS = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"

# With the colour inverted, premultiplying by the alpha a gives 1 − a(1 − c) = ac + (1 − a): c over white.
_OVER_WHITE = ("format=gbrap", "negate", "premultiply=inplace=1", "negate", "format=gbrp")
_RGB_FORMAT = re.compile(r"rgb|bgr|gbr|argb|abgr|0rgb|0bgr|x2|pal8|gray|ya\d|mono")
_WIDE_PRIMARIES = ("bt2020", "smpte431", "smpte432")


def rate_of(fps: float) -> Fraction:
    """Return the exact rate that `fps` rounds, such as 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def track_filters(info: VideoInfo) -> list[str]:
    """Return the filters that make whole frames of fields: interlaced lines are woven into combs otherwise."""
    return ["bwdif=mode=send_frame:deint=interlaced"] if info.is_interlaced else []


def sampling_filters(info: VideoInfo, start: float, fps: float) -> list[str]:
    """Return the filters that sample and hold: frame k is what the source shows at `start + k / fps` of its picture."""
    shift = round((info.picture_start + start + JITTER / info.fps) * 1e6)
    return ["settb=1/1000000", f"setpts=PTS-{shift}", f"fps=fps={rate_of(fps)}:round=up:start_time=0"]


def picture_filters(
    info: VideoInfo, scaled: tuple[int, int], size: tuple[int, int], unpadded: tuple[int, int] | None = None
) -> list[str]:
    """Return the filters that give RGB, scaled and cropped.

    Args:
        info: of the video.
        scaled: (width, height) to scale to.
        size: (width, height) to crop from the middle of that.
        unpadded: (width, height) of what is scaled, from the upper left corner; None is all of it.
    """
    scale = f"scale={scaled[0]}:{scaled[1]}:{SCALE_FLAGS}"
    over_white = _OVER_WHITE if info.has_alpha else ()
    # Half as many rows or columns of colour as an odd side has do not exist: cut as RGB, no colour moves.
    cut = [f"scale={SCALE_FLAGS}", "format=gbrp", f"crop={unpadded[0]}:{unpadded[1]}:0:0"] if unpadded else []
    return [
        *_missing_tags(info),
        *over_white,
        *cut,
        scale,
        *_to_bt709(info),
        "format=rgb24",
        f"crop={size[0]}:{size[1]}",
    ]


def crop_corner(scaled: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the pixels (left, top) that ffmpeg's crop cuts off, which rounds a half to the even number as we do."""
    return round((scaled[0] - size[0]) / 2), round((scaled[1] - size[1]) / 2)


def yuv_filters(pixel_format: str) -> list[str]:
    """Return the filters from RGB to a format of YUV pixels, in bt709 and saying so."""
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    return [f"scale=out_color_matrix=bt709:out_range=tv:{SCALE_FLAGS}", f"format={pixel_format}", tags]


def _missing_tags(info: VideoInfo) -> list[str]:
    """Fill in what the file does not say: HDR is bt2020, 720 lines or more are bt709, fewer have bt601's matrix."""
    matrix = "bt2020nc" if info.is_hdr else "bt709" if min(info.width, info.height) >= 720 else "smpte170m"
    tags = {
        f"colorspace={matrix}": not _RGB_FORMAT.match(info.pixel_format) and info.color_matrix,
        f"color_primaries={'bt2020' if info.is_hdr else 'bt709'}": info.color_primaries,
        "color_trc=bt709": info.color_transfer,
    }
    missing = [tag for tag, said in tags.items() if said in ("unknown", "reserved")]
    return [f"setparams={':'.join(missing)}"] if missing else []


def _to_bt709(info: VideoInfo) -> list[str]:
    """Return the filters for HDR and wide colours; an ffmpeg without zscale shows these paler."""
    if not (info.is_hdr or info.color_primaries in _WIDE_PRIMARIES) or not _has_zscale():
        return []
    tonemap = ["tonemap=mobius:desat=0"] if info.is_hdr else []
    return ["zscale=t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709", *tonemap, "zscale=t=bt709"]


@cache
def _has_zscale() -> bool:
    _, log = run(["-f", "lavfi", "-i", "color", "-vf", "zscale,tonemap", "-frames:v", "1", "-f", "null", "-"], "zscale")
    return "No such filter" not in log
