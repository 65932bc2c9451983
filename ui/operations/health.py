"""What /health answers, from the moment the port is open: 200 where jobs are taken, else 503 and why not."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ui.work.service import StudioService


def health_route(studio: StudioService) -> Route:
    """Return the route; it answers as a coroutine, which waits for none of the threads that handlers keep busy."""

    async def health(_: Request) -> JSONResponse:
        reason = studio.worker.why_not_ready
        if reason:
            return JSONResponse({"status": "unavailable", "reason": reason}, 503)
        free, there = studio.worker.edit_places()
        model = "loading" if studio.worker.is_preparing else "loaded"
        return JSONResponse(
            {"status": "ok", "model": model, "jobs": studio.busy_with(), "places": {"free": free, "all": there}}
        )

    return Route("/health", health)
