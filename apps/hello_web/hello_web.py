"""A small web app: greets over HTTP, and says whether it is well."""

import os
import platform

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


async def hello(request: Request) -> Response:
    """GET /: a greeting, for `?name=` if given, and the architecture that this runs on."""
    name = request.query_params.get("name", "world")
    return PlainTextResponse(f"Hello, {name}!\narchitecture: {platform.machine()}\n")


async def health(request: Request) -> Response:
    """GET /healthz: what orchestrators ask."""
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/", hello), Route("/healthz", health)])


def main() -> None:
    """Serve until SIGTERM, on $PORT or 8080."""
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
