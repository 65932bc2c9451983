"""Edit a clip through a running studio, from upload to MP4: python examples/edit_by_api.py http://127.0.0.1:7860"""

import shutil
import sys
import time
from pathlib import Path

from gradio_client import Client, handle_file

CLIP = Path(__file__).parents[1] / "assets/clips/friends/clip.mp4"


def main(address: str, output: str = "edited.mp4") -> None:
    """Turn the cat into a panda and the dog into a robot."""
    client = Client(address, verbose=False)
    session = client.predict(api_name="/new_session")
    client.predict(session, handle_file(CLIP), frames=4, api_name="/open_clip")

    for number, (x, y, prompt) in enumerate([(63, 164, "a panda"), (193, 159, "a robot")], 1):
        client.predict(session, frame=0, x=x, y=y, api_name="/click")
        client.predict(session, number, prompt=prompt, api_name="/change_object")
    wait(client, session, client.predict(session, api_name="/track"))

    client.predict(
        session,
        source_prompt="a cat and a dog on grass under a clear sky",
        background="on grass under a clear sky",
        api_name="/set_words",
    )
    job = client.predict(session, quality="draft", settings={"seed": 0}, api_name="/edit")
    wait(client, session, job)
    video, _side_by_side = client.predict(session, job, api_name="/get_result")
    shutil.copyfile(video["path"] if isinstance(video, dict) else video, output)


def wait(client: Client, session: str, job: str) -> None:
    """Wait until a job is done."""
    while (status := client.predict(session, job, api_name="/get_job"))["state"] in ("queued", "running"):
        time.sleep(0.5)
    if status["state"] != "done":
        sys.exit(status["message"])


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    main(*sys.argv[1:])
