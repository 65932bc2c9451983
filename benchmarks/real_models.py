"""The way of a user with real models, by the studio's API: download, click, mask, follow, edit, MP4.

Each model goes it with each segmenter, and once more with ControlNets and a LoRA.

    python -m benchmarks.real_models --json rows.json            # tiny Stable Diffusions, segmenters at their true size
    python -m benchmarks.real_models --json rows.json --true     # everything at its true size, for a GPU

The hub is one of our own on this machine, with random weights. Every line runs that runs on a user's machine; what the
weights would mean is all that is missing, so masks and results show nothing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradio_client import Client, handle_file

from benchmarks.hub import LoopbackHub, loopback_hub
from benchmarks.studio import ROOT, running_studio
from benchmarks.table import print_table
from videograin.region import ControlKind

MODELS = ("sd15", "sd2.1-base", "sd2.1")
SEGMENTERS = ("sam2.1-tiny", "edgetam", "vit_b")
CONTROLS = (ControlKind.CANNY, ControlKind.DEPTH)  # poses need a package that is optional
FRAMES, STEPS = 8, 2
ENDS = ("done", "failed", "cancelled", "interrupted")
SECONDS = 1800.0  # that a job may take on a machine with a lot to do
SAM_FILE = "VIDEOGRAIN_BENCHMARK_SAM_FILE"
"""Variable of the studio's process that says where SAM's checkpoint lies instead of at its own address."""


@dataclass(frozen=True)
class Row:
    """How one pair of models went.

    Attributes:
        model, segmenter: their names.
        besides: ControlNets and a LoRA that the edit was given; empty where none was.
        ok: whether an MP4 of all frames came out.
        seconds: from the first download to the MP4.
        bytes_fetched: of both; what an earlier row fetched is there already.
        mask_pixels: of the first click.
        problem: why it is not ok; empty where it is.
    """

    model: str
    segmenter: str
    ok: bool
    seconds: float
    bytes_fetched: int
    besides: str = ""
    mask_pixels: int = 0
    problem: str = ""


class Visitor:
    """Calls the studio's functions in one session.

    Args:
        url: of the studio.
    """

    def __init__(self, url: str) -> None:
        self._client = Client(url, verbose=False)
        self.session = self._client.predict(api_name="/new_session")

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of docs/api.md."""
        return self._client.predict(self.session, *arguments, **named, api_name=f"/{name}")

    def wait(self, job: str) -> None:
        """Wait for a job; raise RuntimeError with its message where it fails."""
        deadline = time.monotonic() + SECONDS
        while (status := self.call("get_job", job))["state"] not in ENDS:
            if time.monotonic() > deadline:
                raise RuntimeError(f"a job took more than {SECONDS:g} s: {status}")
            time.sleep(0.5)
        if status["state"] != "done":
            raise RuntimeError(status["message"])


def run_pair(url: str, hub: LoopbackHub, clip: Path, frames: int, model: str, segmenter: str, lora: str = "") -> Row:
    """Go the whole way with a model and a segmenter; with a LoRA's hub id also with ControlNets."""
    controls = CONTROLS if lora else ()
    besides = [*(f"{model}+{kind}" for kind in controls), *([f"lora:{lora}"] if lora else [])]
    started, before, pixels = time.monotonic(), hub.bytes_sent, 0
    try:
        visitor = Visitor(url)
        for name in (model, segmenter, *besides):
            visitor.wait(visitor.call("download", name))
        visitor.call("open_clip", handle_file(clip), frames=frames, short_side=256, model=model)
        work = visitor.call("choose_segmenter", segmenter)
        work = visitor.call("click", 0, work["width"] / 2, work["height"] / 2)
        marked = work["objects"][-1]
        pixels = marked["area"]
        visitor.wait(visitor.call("track"))
        visitor.call("change_object", marked["number"], prompt="a fox")
        if lora:
            visitor.call("add_lora", hub_id=lora)
        job = visitor.call("edit", settings={"num_inference_steps": STEPS}, controls=list(controls))
        visitor.wait(job)
        video = Path(visitor.call("get_result", job)[0])
        problem = "" if video.stat().st_size and pixels else "no mask or no video"
    except Exception as error:  # a row says what went wrong, and the others are still wanted
        problem = f"{type(error).__name__}: {error}"
    return Row(
        model=model, segmenter=segmenter, ok=not problem, seconds=round(time.monotonic() - started, 1),
        bytes_fetched=hub.bytes_sent - before, besides=", ".join(besides), mask_pixels=pixels, problem=problem,
    )  # fmt: skip


def write_hub(
    hub: LoopbackHub, models: Sequence[str], segmenters: Sequence[str], *, is_tiny: bool
) -> tuple[str, dict[str, str]]:
    """Write the repositories and return where SAM's checkpoint lies, as JSON, and each model's LoRA."""
    from benchmarks import hub_models

    loras = {}
    for model in models:
        hub_models.write_stable_diffusion(hub.root, model, is_tiny=is_tiny)
        for kind in CONTROLS:
            hub_models.write_control(hub.root, model, kind, is_tiny=is_tiny)
        loras[model] = hub_models.write_lora(hub.root, model, is_tiny=is_tiny)
    if "sam2.1-tiny" in segmenters:
        hub_models.write_sam2_tiny(hub.root)
    if "edgetam" in segmenters:
        hub_models.write_edgetam(hub.root)
    if "vit_b" not in segmenters:
        return "", loras
    return json.dumps(asdict(hub_models.write_vit_b(hub.root, hub.other_host))), loras


def serve() -> None:
    """Run the studio with SAM's checkpoint at the address that the environment says."""
    from videograin.cli.main import main as run_command
    from videograin.files.download import RemoteFile
    from videograin.segment.names import SAM_FILES

    if stated := os.environ.get(SAM_FILE):
        SAM_FILES["vit_b"] = RemoteFile(**json.loads(stated))
    sys.exit(run_command(["app", *sys.argv[2:]]))


def main() -> None:
    """Go the way with every pair, and print and write a row for each."""
    if sys.argv[1:2] == ["serve"]:
        serve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--clip", type=Path, default=ROOT / "assets/clips/friends/clip.mp4")
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--segmenters", nargs="*", default=SEGMENTERS, choices=SEGMENTERS)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of the clip that are followed and edited")
    parser.add_argument("--true", action="store_true", help="Stable Diffusion at its true size")
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory(prefix="videograin-hub-") as folder, loopback_hub(Path(folder, "hub")) as hub:
        sam_file, loras = write_hub(hub, options.models, options.segmenters, is_tiny=not options.true)
        os.environ |= {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(Path(folder, "cache")), "XDG_CACHE_HOME": str(Path(folder, "cache")),
            SAM_FILE: sam_file,
        }  # fmt: skip
        program = ("-m", "benchmarks.real_models", "serve")
        settings = {"offline": 0, "models": ",".join(("emoji-world", *MODELS))}
        with running_studio(Path(folder, "studio"), program, **settings) as studio:
            for model in options.models:
                ways = [*((each, "") for each in options.segmenters), (options.segmenters[0], loras[model])]
                for segmenter, lora in ways:
                    row = run_pair(studio.url, hub, options.clip, options.frames, model, segmenter, lora)
                    rows.append(asdict(row))
                    print(json.dumps(rows[-1]), flush=True)
    print_table(
        "The way with real models",
        ["model", "segmenter", "besides", "ok", "seconds", "MB received"],
        [
            [
                row["model"],
                row["segmenter"],
                row["besides"],
                str(row["ok"]),
                f"{row['seconds']:.0f}",
                f"{row['bytes_fetched'] / 1e6:.0f}",
            ]
            for row in rows
        ],
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(not all(row["ok"] for row in rows))


if __name__ == "__main__":
    main()
