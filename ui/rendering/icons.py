"""Line icons drawn for this page, 24×24, in the colour of the text."""

_PATHS = {
    "pick": "M5 3l14 8-6 2-3 6z",
    "add": "M12 5v14M5 12h14",
    "remove": "M5 12h14",
    "box": "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
    "brush": "M20 4L10 14M7 13c-3 0-3 4-5 5 4 2 8 1 8-2a3 3 0 0 0-3-3z",
    "eraser": "M4 15l9-9 6 6-7 7H8zM9 10l6 6M8 19h12",
    "undo": "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 0 12",
    "redo": "M15 7l5 5-5 5M20 12H10a6 6 0 0 0 0 12",
    "smaller": "M9 4v5H4M15 20v-5h5M20 9h-5V4M4 15h5v5",
    "bigger": "M4 9V4h5M20 15v5h-5M15 4h5v5M9 20H4v-5",
    "left": "M15 5l-7 7 7 7",
    "right": "M9 5l7 7-7 7",
    "up": "M5 15l7-7 7 7",
    "down": "M5 9l7 7 7-7",
    "delete": "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    "shown": "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 .01 0z",
    "hidden": "M3 3l18 18M6 7c-3 2-4 5-4 5s4 7 10 7c2 0 4-1 5-2M10 5h2c6 0 10 7 10 7l-2 3",
    "download": "M12 4v11M7 10l5 5 5-5M5 20h14",
    "pause": "M8 5v14M16 5v14",
    "play": "M7 4l13 8-13 8z",
}


def icon(name: str) -> str:
    """Return an icon as SVG."""
    return (
        "<svg viewBox='0 0 24 24' width='18' height='18' fill='none' stroke='currentColor' stroke-width='2' "
        f"stroke-linecap='round' stroke-linejoin='round' aria-hidden='true'><path d='{_PATHS[name]}'/></svg>"
    )
