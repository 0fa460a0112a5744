"""What is written in all files together -> heartbeats and keys, with whatever only shows when values meet.

A heartbeat's own values, the defaults, the secret files and the other heartbeats meet here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from exporter.config.document import Steps
from exporter.config.fields import OPERATOR_LABELS, shown
from exporter.config.model import SCHEDULE_KEYS, Entry, HeartbeatsFile, MainFile, Options, ScheduleKey
from exporter.config.result import Problem, exposure
from exporter.config.schedules import Schedules
from exporter.config.secret import BadSecretFile, SecretFile
from exporter.config.validate import Checked
from exporter.heartbeat import METHODS, Heartbeat, Name, Token
from exporter.schedule import Schedule, ScheduleError, format_duration

AnyFile: TypeAlias = Checked[MainFile] | Checked[HeartbeatsFile]
Value = TypeVar("Value")

_NO_CREATION = "heartbeats cannot be created by pings in this version, so this has no effect yet"
_CONSEQUENCES = {
    "grace": "a dead job goes unnoticed for more than a whole period",
    "max_runtime": "a job that hangs goes unnoticed for more than a whole period",
}


class _Place(NamedTuple):
    """Where something stands. Spelled out only when it is spoken of."""

    file: AnyFile
    steps: Steps

    def at(self, *steps: str | int) -> "_Place":
        return _Place(self.file, (*self.steps, *steps))

    def gives(self, key: str, value: object) -> bool:
        """Whether the key is given here, where ``value`` is what was understood of it."""
        refused = self.file.refused
        return value is not None or (bool(refused) and (*self.steps, key) in refused)

    def problem(self, message: str) -> Problem:
        return self.file.document.problem(self.steps, message)

    @property
    def spot(self) -> str:
        """File and line."""
        return f"{self.file.document.file}:{self.file.document.line(self.steps)}"

    def __str__(self) -> str:
        return f"{self.file.document.spell(self.steps)} ({self.spot})"


@dataclass(frozen=True, slots=True)
class _Usual:
    """What a heartbeat has that does not say otherwise."""

    timezone: str
    description: str
    runbook_url: str
    methods: frozenset[str]
    failure_threshold: int
    paused: bool
    token_version: int

    @classmethod
    def of(cls, defaults: Options) -> "_Usual":
        return cls(
            timezone=_either(defaults.timezone, "UTC"),
            description=_either(defaults.description, ""),
            runbook_url=_either(defaults.runbook_url, ""),
            methods=METHODS if defaults.methods is None else frozenset(defaults.methods),
            failure_threshold=_either(defaults.failure_threshold, 1),
            paused=_either(defaults.paused, False),
            token_version=_either(defaults.token_version, 1),
        )


class Declarations:
    """Gathers what the files declare, and what is wrong with it as a whole."""

    def __init__(self, main: Checked[MainFile]) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._main = main
        self._defaults = main.content.defaults
        self._usual = _Usual.of(self._defaults)
        self._schedules = Schedules()
        self._names: dict[Name, _Place] = {}
        self._secrets: dict[Token, _Place] = {}
        self._examine_defaults(_Place(main, ("defaults",)))

    def keys(self) -> Iterator[Token]:
        """The keys that the main file declares, those without errors."""
        pings, place = self._main.content.pings, _Place(self._main, ("pings",))
        if place.gives("created", pings.created):
            self._warn(place.at("created"), _NO_CREATION)
        for index, key in enumerate(pings.keys):
            at = place.at("keys", index)
            if at.steps in self._main.refused:
                continue
            if key.create:
                self._warn(at.at("create"), _NO_CREATION)
            if not at.gives("key", key.key) and not at.gives("key_file", key.key_file):
                self._refuse(at, "gives no key (give one of key, key_file)")
            secret = self._secret(at, "key", key.key, key.key_file)
            if secret is not None:
                yield secret

    def heartbeats(self, file: AnyFile) -> Iterator[Heartbeat]:
        """The heartbeats that a file declares, those without errors."""
        for index, entry in enumerate(file.content.heartbeats):
            place = _Place(file, ("heartbeats", index))
            if place.steps not in file.refused:
                heartbeat = self._heartbeat(entry, place)
                if heartbeat is not None:
                    yield heartbeat

    def _heartbeat(self, entry: Entry, place: _Place) -> Heartbeat | None:
        defaults, usual = self._defaults, self._usual
        name = self._name(entry, place)
        timezone = _either(entry.timezone, usual.timezone)
        schedule = self._schedule(entry, place, timezone)
        token = self._secret(place, "token", entry.token, entry.token_file)
        self._warn_of_labels(entry, place)
        if name is None or schedule is None:
            return None
        self._warn_of_lengths(entry, place, schedule)
        grace = _either(entry.grace, defaults.grace)
        return Heartbeat(
            name=name,
            schedule=schedule,
            timezone=timezone,
            grace=grace if isinstance(grace, int) else None,
            max_runtime=_either(entry.max_runtime, defaults.max_runtime),
            description=_either(entry.description, usual.description),
            runbook_url=_either(entry.runbook_url, usual.runbook_url),
            labels=self._labels(entry),
            methods=usual.methods if entry.methods is None else frozenset(entry.methods),
            failure_threshold=_either(entry.failure_threshold, usual.failure_threshold),
            paused=_either(entry.paused, usual.paused),
            token=token,
            token_version=_either(entry.token_version, usual.token_version),
        )

    def _name(self, entry: Entry, place: _Place) -> Name | None:
        if entry.name is None:
            if not place.gives("name", None):
                self._refuse(place, "has no name")
            return None
        name = Name(entry.name)
        first = self._names.setdefault(name, place)
        if first is not place:
            self._refuse(
                place.at("name"), f"{shown(name)} is also the name of the heartbeat at {first.at('name').spot}"
            )
        return name

    def _schedule(self, entry: Entry, place: _Place, timezone: str) -> Schedule | None:
        """The heartbeat's one schedule, its own or else the default one; None where that is an error."""
        own = _kinds(entry, place)
        if own:
            self._refuse_several(own, place)
            found = [self._parsed(entry, kind, timezone, place) for kind in own]
            return found[0] if len(found) == 1 else None
        default = _kinds(self._defaults, _Place(self._main, ("defaults",)))
        if not default:
            self._refuse(place, f"has no schedule (give one of {', '.join(SCHEDULE_KEYS)})")
        # What is wrong with the default one has been said where it stands.
        return self._parsed(self._defaults, default[0], timezone, None) if len(default) == 1 else None

    def _parsed(self, options: Options, kind: ScheduleKey, timezone: str, place: _Place | None) -> Schedule | None:
        """The schedule of that kind, if it is good; an error is reported if there is a place to report it at."""
        if kind == "interval":
            return options.interval
        text = options.cron if kind == "cron" else options.oncalendar
        try:
            return None if text is None else self._schedules.calendar(kind, text, timezone)
        except ScheduleError as error:
            if place is not None:
                self._refuse(place.at(kind), str(error))
            return None

    def _secret(self, place: _Place, key: str, text: str | None, file: str | None) -> Token | None:
        """The secret given under a key, or in the file given under ``<key>_file``; None where there is none."""
        in_file = f"{key}_file"
        if place.gives(key, text) and place.gives(in_file, file):
            self._refuse(place, f"gives both {key} and {in_file} (give one)")
            return None
        if text is not None:
            return self._claimed(Token(text), place.at(key))
        if file is not None:
            return self._from_file(file, place.at(in_file))
        return None

    def _from_file(self, name: str, place: _Place) -> Token | None:
        try:
            held = SecretFile.read(Path(place.file.document.file).parent, name)
        except BadSecretFile as error:
            self._refuse(place, str(error))
            return None
        exposed = exposure(held.mode)
        if exposed is not None:
            self._warn(place, exposed)
        return self._claimed(held.secret, place)

    def _claimed(self, secret: Token, place: _Place) -> Token:
        first = self._secrets.setdefault(secret, place)
        if first is not place:
            self._refuse(place, f"is the same secret as {first}")
        return secret

    def _labels(self, entry: Entry) -> tuple[tuple[str, str], ...]:
        merged = {**(self._defaults.labels or {}), **(entry.labels or {})}
        # To Prometheus a label with an empty value is a label that is not there.
        return tuple(sorted((name, value) for name, value in merged.items() if value))

    def _examine_defaults(self, place: _Place) -> None:
        kinds = _kinds(self._defaults, place)
        self._refuse_several(kinds, place)
        schedules = [self._parsed(self._defaults, kind, self._usual.timezone, place) for kind in kinds]
        self._warn_of_labels(self._defaults, place)
        self._warn_of_lengths(self._defaults, place, schedules[0] if len(schedules) == 1 else None)

    def _refuse_several(self, kinds: Sequence[ScheduleKey], place: _Place) -> None:
        if len(kinds) > 1:
            self._refuse(place, f"has several schedules: {', '.join(kinds)} (give one)")

    def _warn_of_labels(self, options: Options, place: _Place) -> None:
        for name in options.labels or ():
            if name in OPERATOR_LABELS:
                self._warn(
                    place.at("labels", name),
                    f"the Prometheus Operator sets this label on targets, so it arrives as exported_{name}",
                )

    def _warn_of_lengths(self, options: Options, place: _Place, schedule: Schedule | None) -> None:
        """Warn of a grace and a max_runtime that are given here, or meet a schedule here, and are hardly meant."""
        if options.grace == 0:
            self._warn(place.at("grace"), "with no grace every start that is a little late is alerted on")
        if schedule is None:
            return
        for key, own, default in (
            ("grace", options.grace, self._defaults.grace),
            ("max_runtime", options.max_runtime, self._defaults.max_runtime),
        ):
            if own is None and default is None:
                continue
            length = own if own is not None or not _kinds(options, place) else default
            interval = self._schedules.interval(schedule) if isinstance(length, int) else None
            if not isinstance(length, int) or interval is None or length <= interval:
                continue
            said = format_duration(length)
            self._warn(
                place.at(key) if own is not None else place,
                f"{said if own is not None else f'the default {key}, {said},'} is longer than the interval, "
                f"{format_duration(interval)}: {_CONSEQUENCES[key]}",
            )

    def _refuse(self, place: _Place, message: str) -> None:
        self.errors.append(place.problem(message))

    def _warn(self, place: _Place, message: str) -> None:
        self.warnings.append(place.problem(message))


def _kinds(options: Options, place: _Place) -> list[ScheduleKey]:
    """Which schedules are given there, the bad ones included."""
    values: tuple[tuple[ScheduleKey, object], ...] = (
        ("interval", options.interval),
        ("cron", options.cron),
        ("oncalendar", options.oncalendar),
    )
    return [kind for kind, value in values if place.gives(kind, value)]


def _either(own: Value | None, default: Value) -> Value:
    return default if own is None else own
