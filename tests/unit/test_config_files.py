"""A folder of files: each bad one with every error that it brings, each good one with every warning."""

import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter.config import ConfigError, json_schema, load

DATA = Path(__file__).parents[1] / "testdata" / "config"
BAD = sorted(DATA.glob("bad/*/*.yaml"))
GOOD = sorted(DATA.glob("good/*.yaml"))


class _TagsAside(yaml.SafeLoader):
    """Takes what has an unknown tag for no value at all, which no key allows either."""


_TagsAside.add_constructor(None, lambda *_: None)


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _expected(path: Path) -> str:
    """What is said of the file, with paths relative to its folder; nothing is said where there is no such text."""
    text = path.with_suffix(".txt")
    return text.read_text().rstrip("\n") if text.exists() else ""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of files, with secret files that are nobody else's business, as git cannot keep them."""
    copy = shutil.copytree(DATA, tmp_path / "config")
    for secret in (copy / "secrets").iterdir():
        secret.chmod(0o600)
    return copy


@pytest.mark.parametrize("path", BAD, ids=_id)
def test_a_bad_file_brings_all_its_errors_and_nothing_else(path: Path, data: Path) -> None:
    copy = data / path.relative_to(DATA)
    with pytest.raises(ConfigError) as caught:
        load(copy)
    assert str(caught.value).replace(f"{copy.parent}/", "") == _expected(path)


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_a_good_file_brings_all_its_warnings_and_nothing_else(path: Path, data: Path) -> None:
    copy = data / path.relative_to(DATA)
    warnings = "\n".join(map(str, load(copy).warnings))
    assert warnings.replace(f"{copy.parent}/", "") == _expected(path)


@pytest.mark.parametrize("path", [path for path in BAD if path.parent.name == "structure"], ids=_id)
def test_the_schema_refuses_what_is_wrong_in_structure(path: Path) -> None:
    document = yaml.load(path.read_text(), _TagsAside)
    assert not Draft202012Validator(json_schema()).is_valid(document)


@pytest.mark.parametrize("path", [path for path in BAD if path.parent.name == "meaning"], ids=_id)
def test_the_schema_leaves_to_the_program_what_only_values_together_can_tell(path: Path) -> None:
    # Where this fails, the schema has learnt something, and the file belongs in bad/structure.
    Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_the_schema_accepts_every_good_file(path: Path) -> None:
    Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text()) or {})
