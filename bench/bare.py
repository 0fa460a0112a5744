"""The ceiling of our stack: an ordinary aiohttp application with one handler that does nothing.

It runs on the same kind of event loop as the exporter, and is given the same requests.
"""

import asyncio
import sys

from aiohttp import web

from exporter.server import new_event_loop


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _serve(port: int) -> None:
    application = web.Application()
    application.router.add_route("*", "/heartbeat/{token}", _ok)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as on_loop:
        on_loop.run(_serve(int(sys.argv[1])))
