"""The page's looks: system fonts, quiet greys and one green, so that the objects' colours stand out."""

from pathlib import Path

import gradio as gr

CSS = (Path(__file__).parents[1] / "static/style.css").read_text(encoding="utf-8")

_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")


def studio_theme() -> gr.themes.Base:
    """Return the theme, light and dark; it loads no file from the network."""
    theme = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="zinc",
        neutral_hue="zinc",
        radius_size="md",
        font=[gr.themes.Font(name) for name in _FONTS],
        font_mono=[gr.themes.Font(name) for name in _MONO],
    )
    return theme.set(
        body_background_fill="#f6f6f4",
        body_background_fill_dark="#141416",
        body_text_color_subdued="#63636b",
        body_text_color_subdued_dark="#a3a3ad",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1d1d20",
        background_fill_secondary="#fafaf9",
        background_fill_secondary_dark="#26262a",
        block_border_width="0px",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#1d1d20",
        block_info_text_color="#63636b",
        block_info_text_color_dark="#a3a3ad",
        block_shadow="none",
        block_padding="0px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#26262a",
        input_border_width="1px",
        input_placeholder_color="#6b6b74",
        input_placeholder_color_dark="#a3a3ad",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#14b8a6",
        button_primary_background_fill_hover_dark="#2dd4bf",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0b1f1d",
        button_secondary_background_fill="#ececea",
        button_secondary_background_fill_hover="#e0e0dd",
        button_secondary_background_fill_dark="#303036",
        button_secondary_background_fill_hover_dark="#3b3b42",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
    )
