"""A user of a running studio, by its API."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

ENDS = ("done", "failed", "cancelled", "interrupted")


class ApiVisitor:
    """Calls the documented functions in one session.

    Args:
        url: of the studio.
        auth: name and password, where the studio asks for them.
        session: of an earlier visit; None begins a new one.
    """

    def __init__(self, url: str, auth: tuple[str, str] | None = None, session: str | None = None) -> None:
        self._client = Client(url, auth=auth, verbose=False)
        self.session = session or self._client.predict(api_name="/new_session")

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of docs/api.md with this session."""
        return self._client.predict(self.session, *arguments, **named, api_name=f"/{name}")

    def open(self, video: Path, **choice: Any) -> dict[str, Any]:
        """Upload a video and begin to work on it."""
        return self.call("open_clip", handle_file(video), **{"short_side": 64, "frames": 4} | choice)

    def mark_middle(self, folder: Path, work: dict[str, Any], prompt: str = "a panda") -> None:
        """Import a mask of the frame's middle half and say what it becomes."""
        mask = np.zeros((work["height"], work["width"]), np.uint8)
        mask[work["height"] // 4 : -work["height"] // 4, work["width"] // 4 : -work["width"] // 4] = 255
        Image.fromarray(mask).save(folder / "middle.png")
        number = self.call("import_masks", handle_file(folder / "middle.png"))["objects"][-1]["number"]
        self.call("change_object", number, prompt=prompt)

    def edit(self, steps: int = 2, **settings: Any) -> str:
        """Ask for an edit and return its job."""
        return self.call("edit", settings={"num_inference_steps": steps, **settings})

    def wait(self, job: str, *states: str, seconds: float = 240) -> dict[str, Any]:
        """Wait until a job is in one of some states, or at its end where none is given."""
        deadline = time.monotonic() + seconds
        while (status := self.call("get_job", job))["state"] not in (states or ENDS):
            assert time.monotonic() < deadline, f"job is {status}"
            time.sleep(0.2)
        return status

    def result(self, job: str) -> Path:
        """Return where the edited MP4 was downloaded to."""
        return Path(self.call("get_result", job)[0])
