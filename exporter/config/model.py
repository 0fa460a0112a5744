"""The configuration file as it is written: its keys, their types and what each is for.

A value of None means that the key was not given; YAML's own null never gets this far (see `exporter.config.document`).
What concerns several keys at once is not decided here but in `exporter.config.declare`.
"""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from exporter.config import fields
from exporter.config.document import Unread
from exporter.config.result import BODY_LIMIT, CREATED_EXPIRE_AFTER, CREATED_MAX, HISTORY, OUTAGE_GRACE
from exporter.heartbeat import METHODS
from exporter.schedule import format_duration

ScheduleKey: TypeAlias = Literal["interval", "cron", "oncalendar"]
SCHEDULE_KEYS: tuple[ScheduleKey, ...] = get_args(ScheduleKey)
"""The keys of which a heartbeat has one."""

MOST_KEPT_OF_A_BODY = 1 << 20
"""Bytes. A store keeps up to `history` bodies of every heartbeat, and a commit holds those of a whole batch at once."""
MOST_PINGS_KEPT = 10_000
MOST_CREATED = 100_000
MOST_LABELS = 64
_MOST = 1_000_000  # more than anyone counts; keeps a slip of the keyboard out


class _Empty:
    """Lets a key stand without a value, as when everything below it is commented out."""

    def __init__(self, empty: type[list[object]] | type[dict[str, object]]) -> None:
        self._empty = empty

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: self._empty() if value is Unread.NULL else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        definition = handler.resolve_ref_schema(made)
        definition["type"] = [definition["type"], "null"]
        return made


Section = _Empty(dict)
"""Marks a mapping that may stand empty."""
_Items = _Empty(list)


class StrictModel(BaseModel):
    """What a file may hold, and nothing else."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Key(StrictModel):
    """A key that jobs may share, to ping heartbeats by name: /ping/<key>/<name>."""

    key: fields.SecretText | None = None
    """The key itself: 16 to 128 of A-Z, a-z, 0-9, _ and -."""
    key_file: fields.FileText | None = None
    """A file that holds the key, relative to this one. White space at its end does not count."""
    create: bool = False
    """Whether this key may create heartbeats by pinging. Without effect in this version."""


class Created(StrictModel):
    """Bounds on heartbeats that are created by pings. Without effect in this version."""

    max: Annotated[int, Field(ge=0, le=MOST_CREATED)] = CREATED_MAX
    """How many there may be."""
    expire_after: fields.PositiveText = Field(
        CREATED_EXPIRE_AFTER, json_schema_extra={"default": format_duration(CREATED_EXPIRE_AFTER)}
    )
    """After how much silence one is deleted."""


class Pings(StrictModel):
    """What concerns pings of all heartbeats."""

    keys: Annotated[list[Key], _Items] = []
    """Keys that jobs may share, to ping by name."""
    body_limit: Annotated[int, Field(ge=0, le=MOST_KEPT_OF_A_BODY)] = BODY_LIMIT
    """How many bytes of a ping's body are kept."""
    history: Annotated[int, Field(ge=1, le=MOST_PINGS_KEPT)] = HISTORY
    """How many pings are kept of each heartbeat."""
    trusted_proxies: Annotated[list[fields.NetworkText], _Items] = []
    """Networks and addresses whose X-Forwarded-For is believed."""
    created: Annotated[Created, Section] | None = None
    """Bounds on heartbeats that are created by pings. Without effect in this version."""


class Options(StrictModel):
    """What a heartbeat may say, and what holds for every heartbeat that does not say it."""

    description: fields.Description | None = None
    """What the job does, for people."""
    interval: fields.IntervalText | None = None
    """The job checks in at least this often: 90s, 1h30m, 1d, 2w. At least 1s."""
    cron: fields.CronText | None = None
    """The job runs at these times: a cron line of five fields, or @hourly to @yearly."""
    oncalendar: fields.CalendarText | None = None
    """The job runs at these times: a systemd calendar expression, or several, one a line."""
    timezone: fields.TimezoneText | None = Field(None, json_schema_extra={"default": "UTC"})
    """The time zone in which cron and oncalendar are meant, as in Europe/Berlin."""
    grace: fields.GraceText | None = Field(None, json_schema_extra={"default": "auto"})
    """How much later than due is still fine. auto: an eighth of the interval, at least 1m and at most 1h."""
    max_runtime: fields.PositiveText | None = None
    """How long a run may take that has sent a start signal. It is overdue if it has not ended by then."""
    labels: Annotated[dict[fields.LabelName, fields.LabelValue], Field(max_length=MOST_LABELS), Section] | None = None
    """Labels of all the heartbeat's series, for routing and grouping alerts."""
    runbook_url: fields.UrlText | None = None
    """Where people find what to do when this heartbeat is missed."""
    methods: fields.Methods | None = Field(None, json_schema_extra={"default": [*sorted(METHODS)], "minItems": 1})
    """The HTTP methods of pings that count. Others are answered and kept in the history, and change nothing."""
    failure_threshold: Annotated[int, Field(ge=1, le=_MOST)] | None = Field(None, json_schema_extra={"default": 1})
    """How many fail signals in a row make it failed."""
    paused: bool | None = Field(None, json_schema_extra={"default": False})
    """Whether nobody watches it for now: it is neither overdue nor failed."""
    token_version: Annotated[int, Field(ge=1, le=_MOST)] | None = Field(None, json_schema_extra={"default": 1})
    """Goes into the derived token. Raise it to give the heartbeat another ping URL."""


class Entry(Options):
    """One thing that is expected to check in."""

    name: fields.NameText | None = None
    """Its unique name: 1 to 128 of A-Z, a-z, 0-9, ., _ and -."""
    token: fields.SecretText | None = None
    """The secret in its ping URL, instead of a derived one: 16 to 128 of A-Z, a-z, 0-9, _ and -."""
    token_file: fields.FileText | None = None
    """A file that holds the token, relative to this one. White space at its end does not count."""


class HeartbeatsFile(StrictModel):
    """A further file of heartbeats."""

    heartbeats: Annotated[list[Entry], _Items] = []
    """What is expected to check in."""


class MainFile(StrictModel):
    """The configuration of the heartbeat exporter."""

    outage_grace: fields.DurationText = Field(
        OUTAGE_GRACE, json_schema_extra={"default": format_duration(OUTAGE_GRACE)}
    )
    """How long after an outage of the exporter itself jobs are given to call again. 0s switches that off."""
    pings: Annotated[Pings, Section] = Pings()
    """What concerns pings of all heartbeats."""
    defaults: Annotated[Options, Section] = Options()
    """What holds for every heartbeat that does not say otherwise. Labels are merged."""
    heartbeat_files: Annotated[list[fields.GlobText], _Items] = []
    """Further files, relative to this one, each with a list heartbeats. *, ? and [] match within a name."""
    heartbeats: Annotated[list[Entry], _Items] = []
    """What is expected to check in."""
