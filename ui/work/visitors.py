"""Who is asking: the network address of the visitor whose request is being answered."""

from gradio.context import LocalContext


def visitor_address() -> str:
    """Return the address of the visitor whose event or call this thread answers; empty where there is none.

    Behind a proxy that the operator has named it is the address that the proxy tells (`ui/guard.py`).
    """
    request = LocalContext.request.get(None)
    client = request.client if request is not None else None
    return client.host if client else ""
