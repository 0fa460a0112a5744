"""Pages of metrics in one piece."""

import asyncio
import gzip

from exporter.heartbeat import Observation, Survey
from exporter.metrics.negotiation import Format
from exporter.metrics.page import Page
from exporter.schedule import Moment


def rendered(page: Page, survey: Survey | None, form: Format, names: frozenset[str] = frozenset()) -> bytes:
    """The page, once it is seen to be the same with and without compression."""

    async def render() -> tuple[bytes, bytes]:
        sheets = [await page.render(survey, form, names, zipped=zipped) for zipped in (False, True)]
        plain, zipped = (b"".join(sheet.pieces) for sheet in sheets)
        assert [sheet.size for sheet in sheets] == [len(plain), len(zipped)]
        return plain, zipped

    plain, zipped = asyncio.run(render())
    # Where there is telemetry, what the process says of itself goes on meanwhile.
    assert of_heartbeats(gzip.decompress(zipped)) == of_heartbeats(plain)
    return plain


def of_heartbeats(page: bytes) -> list[bytes]:
    """The lines that heartbeats have."""
    return [line for line in page.split(b"\n") if line.startswith(b"heartbeat_") and b"_exporter_" not in line]


def survey_of(now: Moment, *observations: Observation) -> Survey:
    """A survey in one block."""
    return Survey(now, (observations,) if observations else (), None)
