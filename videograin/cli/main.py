"""The command `videograin`: its commands, their errors in plain words, and exit codes."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from videograin import __version__
from videograin.cli import app, compare, download, edit, info, mask, models, reproduce, score, vote
from videograin.cli.ctrl_c import CtrlC
from videograin.errors import VideoGrainError
from videograin.jobs.failures import is_out_of_memory, is_out_of_space

OK, UNEXPECTED, USAGE, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141

FILES_OWN = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)
"""Errors that are about a file that the user has named, or its folder, rather than about the program."""

DISK_FULL = "The disk is full: make room, or set TMPDIR to a folder on a larger one for what is kept meanwhile."

COMMANDS = (edit, reproduce, score, compare, vote, mask, info, models, download, app)
"""In the order of `--help`. Each module has `add_parser`, which names the function that carries the command out."""

_EXAMPLES = """\
examples:
  videograin edit friends
  videograin edit cats.json
  videograin edit cats.json -o cats.mp4 --strip cats.png --seed 7
  videograin edit cats.json --model sd15 --device cuda --dtype bfloat16
  videograin edit my-work/
  videograin reproduce config/two_men.yaml --root VideoGrain/
  videograin mask dog.mp4 --click 640,420
  videograin mask bears.mp4 --text "the two bears"
  videograin mask dog.mp4 --object dog --box 440,370,710,560 --stroke-outside 590,510,630,500 -o dog-masks.zip
  videograin score cats.json cats.mp4 --json scores.json
  videograin compare friends --methods paper one-by-one tokenflow -o study/friends
  videograin vote study/ --open
  videograin info
  videograin info cats-source.mp4
  videograin info sd15
  videograin models
  videograin download sd15
  videograin app --open

exit codes: 0 done, 1 unexpected failure, 2 something to mend in the input, 130 stopped by Ctrl-C
or SIGTERM, 141 the output's reader (head, say) had seen enough
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # a sign that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    with CtrlC() as ctrl_c:
        try:
            options.run(options)
            sys.stdout.flush()
        except (KeyboardInterrupt, Exception) as error:
            if ctrl_c.came or isinstance(error, KeyboardInterrupt):
                print("Stopped; nothing is left half-written.", file=sys.stderr)
                return INTERRUPTED
            if mendable := _what_to_mend(error):
                print(f"error: {mendable}", file=sys.stderr)
                if is_out_of_space(error):
                    print(DISK_FULL, file=sys.stderr)
                return USAGE
            if isinstance(error, BrokenPipeError):
                _print_no_more()
                return UNREAD
            _report_defect(error, options.debug)
            return UNEXPECTED
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "videograin",
        description="Edit who is who in a video: each region becomes what its prompt says, the rest stays.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole trace of an unexpected failure")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add_parser(commands)
    for own in commands.choices.values():  # where a user adds it to the command that has failed
        own.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _what_to_mend(error: BaseException) -> str:
    """Return what the user can mend about an error, empty where that is nothing."""
    if isinstance(error, VideoGrainError):
        return str(error)
    if isinstance(error, OSError) and error.errno in FILES_OWN and error.filename is not None:
        return f"'{error.filename}' cannot be used ({error.strerror}). Check its name and its permissions."
    return ""


def _print_no_more() -> None:
    """Send what is left in the buffer nowhere: flushing it at the end would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_defect(error: BaseException, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    if is_out_of_memory(error):
        hint = "The device ran out of memory: choose fewer frames or a smaller size."
    elif is_out_of_space(error):
        hint = DISK_FULL
    else:
        hint = "This is a defect. Run the command again with --debug and report what it prints."
    print(f"unexpected {type(error).__name__}: {error}\n{hint}", file=sys.stderr)
