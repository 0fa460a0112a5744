"""The stock encoder, prometheus_client's `generate_latest`, over the families and samples of our own page.

`python -m bench.stock PAGE` reads a page of metrics, builds the families once, and writes a line of JSON for each line
that it is given. What is timed is the encoder alone, and gzip.compress as prometheus_client's own exposition calls it:
the families stand ready, and the garbage collector does not look at them. Both favour it: a collector would have to
build them for each scrape.
"""

import gc
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_fd_to_metric_families
from prometheus_client.registry import Collector

from bench.programs import ROOT, BenchError, python


@dataclass(frozen=True)
class Encoded:
    """How long the stock encoder takes, in seconds."""

    plain: float
    compress: float
    """gzip.compress of what it has made."""

    @property
    def zipped(self) -> float:
        """Both."""
        return self.plain + self.compress


class Stock:
    """The stock encoder in a process of its own, which is ended when its block is left."""

    def __init__(self, page: Path) -> None:
        """Raises BenchError unless the encoder writes the page as it is, byte for byte."""
        self._process = subprocess.Popen(
            python("bench.stock", page), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self._read()
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def encode(self) -> Encoded:
        """Encode and compress once more."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Encoded(**self._read())

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        told: dict[str, float] = json.loads(line or '{"trouble": "it has ended"}')
        if "trouble" in told:
            raise BenchError(f"the stock encoder: {told['trouble']}")
        return told

    def _stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Families(Collector):
    """Families that stand ready."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _difference(page: bytes, encoded: bytes) -> str | None:
    """Where the stock encoder's page is another than ours; None: nowhere."""
    if page == encoded:
        return None
    ours, theirs = page.splitlines(), encoded.splitlines()
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=False), start=1):
        if mine != other:
            return f"line {number} of our page is {mine!r}, its own {other!r}"
    return f"our page has {len(ours)} lines, its own {len(theirs)}"


def _answer(told: dict[str, float] | dict[str, str]) -> None:
    print(json.dumps(told), flush=True)


def main(page: Path) -> None:
    """Encode once for each line of the standard input."""
    with page.open() as lines:
        families = _Families(list(text_fd_to_metric_families(lines)))
    trouble = _difference(page.read_bytes(), generate_latest(families))
    _answer({"trouble": trouble} if trouble else {})
    gc.collect()
    gc.freeze()
    for _ in sys.stdin:
        started = time.perf_counter()
        encoded = generate_latest(families)
        plain = time.perf_counter() - started
        gzip.compress(encoded)
        _answer({"plain": plain, "compress": time.perf_counter() - started - plain})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
