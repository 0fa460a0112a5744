"""The files that provision Grafana: what Grafana documents, and in line with the rest of the project."""

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DATA_SOURCES = GRAFANA / "provisioning" / "datasources" / "heartbeat.yaml"
PROVIDERS = GRAFANA / "provisioning" / "dashboards" / "heartbeat.yaml"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
PAGE = ROOT / "docs" / "grafana.md"
COPY = re.compile(r"\bcp deploy/grafana/(?P<source>\S+) (?P<target>\S+)$", re.MULTILINE)


class Documented(BaseModel):
    """A mapping with the keys that Grafana documents, in its spelling, and no other."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class PrometheusSettings(Documented):
    http_method: Literal["GET", "POST"] = "POST"
    prometheus_type: Literal["Prometheus", "Cortex", "Mimir", "Thanos"]
    prometheus_version: str | None = None
    time_interval: str
    query_timeout: str | None = None
    manage_alerts: bool
    allow_as_recording_rules_target: bool | None = None
    alertmanager_uid: str | None = None
    cache_level: Literal["Low", "Medium", "High", "None"] | None = None
    incremental_querying: bool | None = None
    incremental_query_overlap_window: str | None = None
    disable_recording_rules: bool | None = None
    custom_query_parameters: str | None = None


class DataSource(Documented):
    name: str
    type: Literal["prometheus"]
    access: Literal["proxy", "direct"]
    url: str
    uid: str
    org_id: int = 1
    is_default: bool = False
    editable: bool = False
    version: int | None = None
    basic_auth: bool | None = None
    basic_auth_user: str | None = None
    with_credentials: bool | None = None
    json_data: PrometheusSettings
    secure_json_data: dict[str, str] | None = None


class DataSources(Documented):
    api_version: Literal[1]
    prune: bool = False
    delete_datasources: list[dict[str, str | int]] = []
    datasources: list[DataSource]


class Folder(Documented):
    path: str
    folders_from_files_structure: bool = False


class Provider(Documented):
    name: str
    org_id: int = 1
    folder: str = ""
    folder_uid: str = ""
    type: Literal["file"] = "file"
    disable_deletion: bool = False
    update_interval_seconds: int = 10
    allow_ui_updates: bool = False
    options: Folder


class Providers(Documented):
    api_version: Literal[1]
    providers: list[Provider]


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(name="source")
def the_data_source() -> DataSource:
    [source] = DataSources.model_validate(document(DATA_SOURCES)).datasources
    return source


@pytest.fixture(name="provider")
def the_provider() -> Provider:
    [provider] = Providers.model_validate(document(PROVIDERS)).providers
    return provider


def copied() -> dict[str, str]:
    """What the page tells people to copy, and where to."""
    return {match["source"]: match["target"] for match in COPY.finditer(PAGE.read_text(encoding="utf-8"))}


def test_grafana_knows_every_key_of_the_data_source(source: DataSource) -> None:
    assert source.uid


def test_a_key_that_grafana_does_not_document_would_be_noticed() -> None:
    misspelt = document(PROVIDERS)
    misspelt["providers"][0]["allowUIUpdates"] = True
    with pytest.raises(ValidationError, match="allowUIUpdates"):
        Providers.model_validate(misspelt)


def test_graphs_are_no_finer_than_what_prometheus_scrapes(source: DataSource) -> None:
    prometheus = document(ROOT / "deploy" / "prometheus" / "prometheus.yaml")
    assert source.json_data.time_interval == prometheus["global"]["scrape_interval"]


def test_the_rules_of_prometheus_are_shown_in_grafana(source: DataSource) -> None:
    assert source.json_data.manage_alerts


def test_the_data_source_takes_the_place_of_no_default(source: DataSource) -> None:
    assert not source.is_default


def test_provisioned_dashboards_are_changed_in_their_files_only(provider: Provider) -> None:
    assert not provider.allow_ui_updates


def test_a_missing_file_takes_no_dashboard_away(provider: Provider) -> None:
    assert provider.disable_deletion


def test_dashboards_are_looked_for_where_the_page_tells_people_to_copy_them(provider: Provider) -> None:
    assert copied()["dashboards/*.json"].rstrip("/") == provider.options.path


@pytest.mark.parametrize("kind", ["dashboards", "datasources"])
def test_the_page_tells_people_where_each_provisioning_file_goes(kind: str) -> None:
    target = copied()[f"provisioning/{kind}/heartbeat.yaml"]
    assert target == f"/etc/grafana/provisioning/{kind}/"
    assert target in (GRAFANA / "provisioning" / kind / "heartbeat.yaml").read_text(encoding="utf-8")


def test_everything_that_the_page_tells_people_to_copy_is_there() -> None:
    assert all(list(GRAFANA.glob(source)) for source in copied())


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_nothing_when_it_is_loaded_from_a_file(path: Path) -> None:
    # Grafana fills in __inputs in its dialog for imports only; a provisioned dashboard would keep the placeholders.
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    assert not {"__inputs", "__requires", "__elements", "id"} & dashboard.keys()
    assert "${DS_" not in path.read_text(encoding="utf-8")
