"""The page of metrics: the heartbeats' families, which are kept from one page to the next, and the exporter's own.

What prometheus_client's encoders would write for the same families, byte for byte.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter.heartbeat import Status, Survey
from exporter.metrics.catalogue import HEARTBEATS, OF_HEARTBEATS
from exporter.metrics.kept import Family, KeptLines, Packed, pack, total
from exporter.metrics.lines import header_of
from exporter.metrics.negotiation import Format

_ENCODERS: dict[Format, Callable[[Collector], bytes]] = {
    Format.TEXT: generate_text,
    Format.OPENMETRICS: generate_openmetrics,
}

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, made on no system in particular."""

_LAST_PIECE = b"\x03\x00"
"""An empty deflate block that is marked as the last one."""


class Sheet(NamedTuple):
    """A page as it is sent."""

    pieces: Sequence[bytes]
    size: int
    """Bytes of all pieces."""


class Page:
    """Renders surveys, and the exporter's own metrics beside them."""

    def __init__(self, own: Collector) -> None:
        self._own = own
        self._kept = KeptLines()
        self._rendering = asyncio.Lock()

    async def render(
        self, survey: Survey | None, form: Format, names: frozenset[str] = frozenset(), *, zipped: bool = False
    ) -> Sheet:
        """The page for what was surveyed; None: what was known of heartbeats is left out.

        With ``names`` only the samples with one of these names, as in prometheus_client's restricted registry: a
        counter goes by its ``_total``, a histogram's parts by their full names. Families without samples are left out.
        With ``zipped`` the pieces are one member of gzip.
        """
        families: list[tuple[int, Family]] = []
        statuses = None
        if survey is not None:
            async with self._rendering:
                await self._kept.revise(survey)
                families, statuses = self._selected(names), self._kept.statuses()
                if zipped:
                    # In a thread: nearly all of it is done without the interpreter.
                    await asyncio.to_thread(_pack, families)
        own = await asyncio.to_thread(self._render_own, statuses, form, names)
        return _zip(families, form, own) if zipped else _plain(families, form, own)

    def _selected(self, names: frozenset[str]) -> list[tuple[int, Family]]:
        """The heartbeats' families that go by one of the names (none: by any) and have samples."""
        families = [
            (number, self._kept.family(number))
            for number, metric in enumerate(OF_HEARTBEATS)
            if not names or metric.name in names
        ]
        return [(number, family) for number, family in families if family.size]

    def _render_own(self, statuses: dict[Status, int] | None, form: Format, names: frozenset[str]) -> bytes:
        families = [*self._own.collect()]
        if statuses is not None:
            families.insert(0, _by_status(statuses))
        return _ENCODERS[form](_Selection(families, names))


class _Selection:
    """The samples of some families that go by one of the names (none: by any), as a collector.

    Without the times at which counters began: prometheus_client makes a series of each, which Go's client leaves out
    unless it is told otherwise, and which nothing reads.
    """

    def __init__(self, families: Iterable[Metric], names: frozenset[str]) -> None:
        self._families = families
        self._names = names

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            began = f"{family.name}_created"
            selected = Metric(family.name, family.documentation, family.type, family.unit)
            selected.samples = [
                sample
                for sample in family.samples
                if sample.name != began and (not self._names or sample.name in self._names)
            ]
            if selected.samples:
                yield selected


def _by_status(statuses: dict[Status, int]) -> Metric:
    """How many heartbeats have each status."""
    family = GaugeMetricFamily(HEARTBEATS.name, HEARTBEATS.help, labels=HEARTBEATS.labels)
    for status in Status:
        family.add_metric([status.value], statuses.get(status, 0))
    return family


@cache
def _header(family: int, form: Format) -> bytes:
    return header_of(OF_HEARTBEATS[family], form)


@cache
def _packed_header(family: int, form: Format) -> Packed:
    return pack(_header(family, form))


def _pack(families: Iterable[tuple[int, Family]]) -> None:
    for _, family in families:
        family.packed()


def _plain(families: Iterable[tuple[int, Family]], form: Format, own: bytes) -> Sheet:
    pieces: list[bytes] = []
    size = len(own)
    for number, family in families:
        header = _header(number, form)
        pieces.append(header)
        pieces += [chunk.text for chunk in family.chunks]
        size += len(header) + family.size
    return Sheet([*pieces, own], size)


def _zip(families: Iterable[tuple[int, Family]], form: Format, own: bytes) -> Sheet:
    """The page as one member of gzip (RFC 1952)."""
    parts = [piece for number, family in families for piece in (_packed_header(number, form), family.packed())]
    parts.append(pack(own))
    checksum, size = total(parts)
    pieces = [_GZIP_HEAD, *(part.data for part in parts), _LAST_PIECE, struct.pack("<II", checksum, size & 0xFFFF_FFFF)]
    return Sheet(pieces, sum(map(len, pieces)))
