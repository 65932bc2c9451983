"""`videograin app`: the studio, in a browser."""

import argparse


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options; everything else is an environment variable (docs/deploy.md)."""
    parser = commands.add_parser("app", help="open the studio in a browser")
    parser.set_defaults(run=run)
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for all (default: this machine)")
    parser.add_argument("--port", type=int, help="default: 7860 or the next free one")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(options: argparse.Namespace) -> None:
    """Serve the studio until told to stop, then end the process."""
    from ui.launch import end_process, run_studio

    end_process(run_studio(options.host, options.port, open_browser=options.open))
