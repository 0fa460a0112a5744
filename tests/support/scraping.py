"""What every test that scrapes does with the page: hand it to the readers that will meet it in the field."""

import subprocess
from collections.abc import Callable, Iterable

from programs import program
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.negotiation import Format

PARSERS: dict[Format, Callable[[str], Iterable[Metric]]] = {
    Format.TEXT: text_string_to_metric_families,
    Format.OPENMETRICS: openmetrics.text_string_to_metric_families,
}

SERIES_FOR_PROMTOOL = 1_000
"""Of each family. What it looks at is the same for all of them, and 2.53 takes minutes for ten thousand."""


def check_page(text: str, content_type: str) -> dict[str, Metric]:
    """The families of a page, by name (a counter's without ``_total``), once nobody finds anything wrong with it.

    The text format goes through ``promtool check metrics``, OpenMetrics through prometheus_client's strict parser.
    """
    form = next((form for form in Format if form.content_type == content_type), None)
    assert form is not None, f"{content_type!r} is no format of ours"
    if form is Format.TEXT:
        _check_with_promtool(text)
    families = list(PARSERS[form](text))
    # Looked for in the text, since prometheus_client's strict parser passes over a repetition.
    series = [line.rpartition(" ")[0] for line in text.split("\n") if line and not line.startswith("#")]
    assert len(series) == len(set(series)), "a series stands there twice"
    by_name = {family.name: family for family in families}
    assert len(by_name) == len(families), "the samples of one family do not stand together"
    for family in families:
        _check_samples(family)
    return by_name


def samples_of(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The value of every sample, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _check_samples(family: Metric) -> None:
    assert family.samples, f"{family.name} has no samples"
    assert family.documentation, f"{family.name} has no help"
    assert family.type != "unknown", f"{family.name} has no type"
    assert all(sample.timestamp is None for sample in family.samples), f"{family.name} carries timestamps"


def _abridged(text: str) -> str:
    """The page with the first series of each family only."""
    kept, series = [], 0
    for line in text.split("\n"):
        series = 0 if line.startswith("#") else series + 1
        if series <= SERIES_FOR_PROMTOOL:
            kept.append(line)
    return "\n".join(kept)


def _check_with_promtool(text: str) -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=_abridged(text).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    complaints = (checked.stdout + checked.stderr).decode()
    assert (checked.returncode, complaints) == (0, ""), f"promtool check metrics: {complaints}"
