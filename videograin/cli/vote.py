"""`videograin vote`: a page that asks which of two results is better, and what was answered."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videograin.evaluation.votes import Vote


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("vote", help="ask users which of two results is better, blind; print who wins")
    parser.set_defaults(run=run)
    parser.add_argument("folder", type=Path, help="folder with a folder for each edit, as 'compare' writes it")
    parser.add_argument("--results", action="store_true", help="print what was answered so far, and open no page")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for all (default: this machine)")
    parser.add_argument("--port", type=int, help="default: 7860 or the next free one")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, then print the win rates; or print them alone."""
    from videograin.evaluation.votes import VoteStore, find_edits

    find_edits(options.folder)  # what is no study gets no file of votes
    store = VoteStore(options.folder)
    if not options.results:
        from ui.study.vote_page import run_study

        run_study(options.folder, options.host, options.port, open_browser=options.open)
    _print(store.votes())


def _print(votes: "Sequence[Vote]") -> None:
    from videograin.evaluation.votes import Question, win_rates

    count = len(votes) // len(Question)
    print(f"{count} pair{'' if count == 1 else 's'} judged.")
    for rate in win_rates(votes):
        share = rate.share
        print(
            f"  {rate.question:12} {rate.method:16} preferred in {share.value:4.0%} of {rate.votes} "
            f"(95 %: {share.low:.0%} to {share.high:.0%})"
        )
