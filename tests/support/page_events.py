"""What the page sends: presses of its own buttons, and what its fields hold."""

import re
from html import unescape

import gradio as gr

from ui.components import Page
from ui.views import Updates, Views
from ui.work.service import StudioService
from ui.work.session import Session


def event(action: str, number: int = 0, value: str = "") -> gr.EventData:
    return gr.EventData(None, {"action": action, "id": number, "value": value})


def form_of(page: Page, session: Session, studio: StudioService) -> Updates:
    """Return what the page's fields hold for a session when a button is pressed."""
    form = Views(studio, page).form(session)
    held = {field: shown["value"] if isinstance(shown, dict) else shown for field, shown in form.items()}
    return {page.session: session.id, page.edit.collected: "{}", **held}


def presses(html: str, action: str) -> list[gr.EventData]:
    """Return what presses on the buttons of an action send, as the page has them."""
    buttons = [dict(re.findall(r"([\w-]+)='([^']*)'", tag)) for tag in re.findall(r"<button[^>]*>", html)]
    return [
        event(action, int(each.get("data-id", 0)), unescape(each.get("data-value", "")))
        for each in buttons
        if each.get("data-action") == action
    ]
