"""The page of a study, and how it is served."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from ui.operations.address import check_address
from ui.rendering.theme import studio_theme
from ui.study.booth import LEFT, NEITHER, QUESTIONS, RIGHT, Booth, Voter
from videograin.errors import ProjectError

PLAIN_FORM = ".form { background: transparent; border: 0; gap: 12px; }"
"""The questions without the grey that Gradio lays behind fields that touch."""

INCOMPLETE = "Answer all three questions first; nothing was kept yet."


def build_vote_page(booth: Booth) -> gr.Blocks:
    """Return the page of a study."""
    with gr.Blocks(title="VideoGrain: which one is better?", analytics_enabled=False) as page:
        voter = gr.State()
        gr.Markdown("# Which one is better?\nTwo edits of the same clip. Watch both, then answer three questions.")
        prompt = gr.Markdown()
        with gr.Row():
            source, left, right = (
                gr.Video(label=label, autoplay=True, loop=True, interactive=False)
                for label in ("The clip before", LEFT, RIGHT)
            )
        answers = [gr.Radio([LEFT, RIGHT, NEITHER], label=question) for question in QUESTIONS.values()]
        notice = gr.Markdown()
        button = gr.Button("Next pair", variant="primary")
        shown = [voter, prompt, source, left, right, *answers, notice]

        def enter() -> list[Any]:
            return _pair(booth, booth.enter())

        def vote(known: Voter | None, *given: str | None) -> list[Any]:
            if known is None:  # the server was started again meanwhile
                return enter()
            try:
                following = booth.vote(known, given)
            except ProjectError as error:
                return _unchanged(len(shown), str(error))
            return _unchanged(len(shown), INCOMPLETE) if following is None else _pair(booth, following)

        page.load(enter, None, shown, api_visibility="private")
        button.click(vote, [voter, *answers], shown, api_visibility="private")
    return page


def _unchanged(components: int, notice: str) -> list[Any]:
    """Return a notice for the last component, and nothing for those before it."""
    return [gr.skip()] * (components - 1) + [f"**{notice}**"]


def _pair(booth: Booth, voter: Voter) -> list[Any]:
    """Return what the page's components show for a voter."""
    source, left, right = booth.shown(voter.ballot)
    words = f"The words were: **{voter.ballot.edit.prompt}**" if voter.ballot.edit.prompt else ""
    before = gr.update(value=source and str(source), visible=source is not None)
    count = booth.count()
    kept = f"{count} pair{'' if count == 1 else 's'} judged so far."
    return [voter, words, before, str(left), str(right), *[None] * len(QUESTIONS), kept]


def run_study(folder: Path, host: str | None, port: int | None, *, open_browser: bool) -> None:
    """Serve the page of a study until Ctrl-C.

    Args:
        folder: of the study.
        host: address to listen on; None is this machine only.
        port: None is 7860 or the next free one.
        open_browser: whether to open the page in a browser.

    Raises:
        ProjectError: the folder has no two results of an edit, or its votes cannot be kept.
        SettingsError: the address is taken, or not of this machine.
    """
    check_address(host, port)
    with TemporaryDirectory(prefix="videograin-study-") as scratch:
        page = build_vote_page(Booth(folder, Path(scratch)))
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            enable_monitoring=False,
            ssr_mode=False,
            show_error=False,
            footer_links=[],
            theme=studio_theme(),
            css=PLAIN_FORM,
            quiet=True,
        )
        sys.stdout.write(f"The study is at {url}\n")
        sys.stdout.flush()
        page.block_thread()
