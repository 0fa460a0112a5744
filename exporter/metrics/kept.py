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


class Piece:
    """A part of the page, in both forms; never changes."""

    __slots__ = ("_packed", "checksum", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._packed: bytes | None = None
        self.checksum = 0
        """CRC-32 of the text, once it is packed."""

    @property
    def is_packed(self) -> bool:
        """Whether it has been packed before."""
        return self._packed is not None

    def packed(self) -> bytes:
        """The text as a piece of a raw deflate stream that stands for itself and is not the last one."""
        if self._packed is None:
            # From several threads at once it would be done twice, to the same end.
            deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
            self.checksum = isal_zlib.crc32(self.text)
            self._packed = deflate.compress(self.text) + deflate.flush(isal_zlib.Z_FULL_FLUSH)
        return self._packed


class Chunk(Piece):
    """The lines of one block's heartbeats in one family."""

    __slots__ = ("lengths",)

    def __init__(self, text: bytes, lengths: "array[int]") -> None:
        super().__init__(text)
        self.lengths = lengths
        """Those of the lines that each heartbeat may have in the family, in the order of the text; 0: there is none."""


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

    async def revise(self, survey: Survey) -> None:
        """Make them those of this survey. Not for several tasks at once."""
        time = Slice()
        del self._kept[len(survey.blocks) :]
        for number, block in enumerate(survey.blocks):
            if number == len(self._kept):
                self._kept.append(await _rendered(block, time))
            elif self._kept[number].block is not block:
                self._kept[number] = await _revised(self._kept[number], block, time)

    def chunks(self, family: int) -> list[Chunk]:
        """All chunks of a family."""
        return [kept.chunks[family] for kept in self._kept]

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
    changed = [(place, values_of(old), values_of(new)) for place, old, new in pairs]
    chunks = list(kept.chunks)
    for number, series in enumerate(SERIES):
        if time.over:
            await time.next()
        changes = [(place, new[number]) for place, old, new in changed if old[number] != new[number]]
        if changes:
            chunks[series.family] = _mended(chunks[series.family], series, changes, block)
    statuses = Counter(kept.statuses)
    statuses.subtract(old.assessment.status for _, old, _ in pairs)
    statuses.update(new.assessment.status for _, _, new in pairs)
    return _Kept(block, tuple(chunks), statuses)


def _mended(chunk: Chunk, series: Series, changes: Iterable[tuple[int, int | None]], block: Block) -> Chunk:
    """The chunk with other values in one series of some heartbeats, each given by its place in the block, in order."""
    text, known, lengths = chunk.text, chunk.lengths, chunk.lengths[:]
    parts: list[bytes] = []
    copied, line, ends = 0, 0, 0
    for place, value in changes:
        number = place * series.slots + series.slot
        begins = ends + sum(known[line:number]) if number > line else ends
        line, ends = number + 1, begins + known[number]
        if value is None:
            parts.append(text[copied:begins])
            lengths[number] = 0
        elif known[number]:
            value_begins = text.rindex(b" ", begins, ends) + 1
            written = series.write(value)
            parts += (text[copied:value_begins], written)
            lengths[number] = value_begins - begins + len(written)
        else:
            written = line_of(series, block[place].heartbeat, value)
            parts += (text[copied:begins], written)
            lengths[number] = len(written)
        copied = ends
    parts.append(text[copied:])
    return Chunk(b"".join(parts), lengths)
