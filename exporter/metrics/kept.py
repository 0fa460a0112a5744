"""The lines of all heartbeats, kept and mended rather than rendered anew.

The page shows family after family, and in each of them heartbeat after heartbeat. It is cut both ways: some
neighbouring heartbeats, a *block*, in one family are a *chunk*. When something changes, a new chunk is made of the old
one: what lies between the values that are others is copied as it is, so labels are not written again. All other chunks
are used again.

So it is with compression. Each chunk is deflated by itself and ended with a full flush, which leaves the stream at a
byte's border and refers to nothing before it. Such pieces in any order, between gzip's head and an empty last
piece, are one valid gzip member (RFC 1951, 1952), whose checksum follows from those of the pieces.

What has changed is found by looking for new objects: a survey shares with the one before it whatever is the same. And
whoever has taken chunks may take his time in sending them, since a chunk never changes.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import NamedTuple

from isal import isal_zlib

from exporter.heartbeat import Block, Status, Survey
from exporter.metrics.catalogue import OF_HEARTBEATS
from exporter.metrics.lines import SERIES, Series, line_of, lines_of, values_of
from exporter.turns import Slice

_LEVEL = 2
"""Pages of metrics repeat themselves so much that more work takes little more away."""


class Packed(NamedTuple):
    """A text as a piece of a raw deflate stream that stands for itself and is not the last one."""

    data: bytes
    checksum: int
    """CRC-32 of the text."""
    size: int
    """Bytes of the text."""


def pack(text: bytes) -> Packed:
    """The text, deflated."""
    deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    data = deflate.compress(text) + deflate.flush(isal_zlib.Z_FULL_FLUSH)
    return Packed(data, isal_zlib.crc32(text), len(text))


def total(pieces: Iterable[Packed]) -> tuple[int, int]:
    """The checksum and the size of the texts in a row."""
    checksum, size = 0, 0
    for piece in pieces:
        checksum = isal_zlib.crc32_combine(checksum, piece.checksum, piece.size)
        size += piece.size
    return checksum, size


class Chunk:
    """The lines of one block's heartbeats in one family; never changes."""

    __slots__ = ("_packed", "lengths", "text")

    def __init__(self, text: bytes, lengths: "array[int]") -> None:
        self.text = text
        self.lengths = lengths
        """Those of the lines that each heartbeat may have in the family, in the order of the text; 0: there is none."""
        self._packed: Packed | None = None

    def packed(self) -> Packed:
        """Its text, deflated, which takes its time the first time."""
        if self._packed is None:
            self._packed = pack(self.text)
        return self._packed


class Family:
    """All lines of a family; never changes."""

    __slots__ = ("_packed", "chunks", "size")

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk.text]
        self.size = sum(len(chunk.text) for chunk in self.chunks)
        self._packed: Packed | None = None

    def packed(self) -> Packed:
        """Their text, deflated, which takes its time the first time."""
        if self._packed is None:
            pieces = [chunk.packed() for chunk in self.chunks]
            self._packed = Packed(b"".join([piece.data for piece in pieces]), *total(pieces))
        return self._packed


class _Kept(NamedTuple):
    """A block as it was last rendered."""

    block: Block
    chunks: tuple[Chunk, ...]
    """By family."""
    statuses: dict[Status, int]


class KeptLines:
    """The lines of the heartbeats of one survey after another."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._families: dict[int, Family] = {}
        """Those in which nothing has changed since they were last asked for."""

    async def revise(self, survey: Survey) -> None:
        """Make them those of this survey. Not for several tasks at once."""
        time = Slice()
        if len(self._kept) > len(survey.blocks):
            del self._kept[len(survey.blocks) :]
            self._families.clear()
        for number, block in enumerate(survey.blocks):
            if number == len(self._kept):
                self._kept.append(await _rendered(block, time))
                self._families.clear()
            elif self._kept[number].block is not block:
                former = self._kept[number]
                self._kept[number] = await _revised(former, block, time)
                for family in list(self._families):
                    if self._kept[number].chunks[family] is not former.chunks[family]:
                        del self._families[family]

    def family(self, number: int) -> Family:
        """A family, by its place in the catalogue."""
        known = self._families.get(number)
        if known is None:
            known = self._families[number] = Family(kept.chunks[number] for kept in self._kept)
        return known

    def statuses(self) -> dict[Status, int]:
        """How many heartbeats have each status."""
        return {status: sum(kept.statuses[status] for kept in self._kept) for status in Status}


async def _rendered(block: Block, time: Slice) -> _Kept:
    lines: list[list[bytes]] = []
    for observation in block:
        lines.append(lines_of(observation.heartbeat, values_of(observation)))
        if time.over:
            await time.next()
    chunks, first = [], 0
    for metric in OF_HEARTBEATS:
        last = first + len(metric.series)
        of_family = [*chain.from_iterable(one[first:last] for one in lines)]
        chunks.append(Chunk(b"".join(of_family), array("I", map(len, of_family))))
        first = last
    return _Kept(block, tuple(chunks), Counter(observation.assessment.status for observation in block))


async def _revised(kept: _Kept, block: Block, time: Slice) -> _Kept:
    pairs = [(place, old, new) for place, (old, new) in enumerate(zip_longest(kept.block, block)) if old is not new]
    if len(kept.block) != len(block) or any(old.heartbeat is not new.heartbeat for _, old, new in pairs):
        return await _rendered(block, time)
    if not pairs:
        return kept._replace(block=block)
    places = [place for place, _, _ in pairs]
    before = zip(*(values_of(old) for _, old, _ in pairs), strict=True)
    after = zip(*(values_of(new) for _, _, new in pairs), strict=True)
    chunks = list(kept.chunks)
    for series, old, new in zip(SERIES, before, after, strict=True):
        if time.over:
            await time.next()
        if old != new:
            changes = [(place, value) for place, was, value in zip(places, old, new, strict=True) if was != value]
            chunks[series.family] = _mended(chunks[series.family], series, changes, block)
    statuses = Counter(kept.statuses)
    statuses.subtract(old.assessment.status for _, old, _ in pairs)
    statuses.update(new.assessment.status for _, _, new in pairs)
    return _Kept(block, tuple(chunks), statuses)


def _mended(chunk: Chunk, series: Series, changes: Iterable[tuple[int, int | None]], block: Block) -> Chunk:
    """The chunk with other values in one series of some heartbeats, each given by its place in the block, in order."""
    text, known, lengths = chunk.text, chunk.lengths, chunk.lengths[:]
    slot, slots, write = series.slot, series.slots, series.write
    parts: list[bytes] = []
    copied, line, ends = 0, 0, 0
    for place, value in changes:
        number = place * slots + slot
        begins = ends + sum(known[line:number]) if number > line else ends
        line, ends = number + 1, begins + known[number]
        if value is None:
            parts.append(text[copied:begins])
            lengths[number] = 0
        elif known[number]:
            value_begins = text.rindex(b" ", begins, ends) + 1
            written = write(value)
            parts += (text[copied:value_begins], written)
            lengths[number] = value_begins - begins + len(written)
        else:
            written = line_of(series, block[place].heartbeat, value)
            parts += (text[copied:begins], written)
            lengths[number] = len(written)
        copied = ends
    parts.append(text[copied:])
    return Chunk(b"".join(parts), lengths)
