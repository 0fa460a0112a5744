"""The lock files pin what pyproject.toml asks for, and name nothing of the machine on which they were made."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements-build.lock", "requirements.lock", "requirements-dev.lock", "requirements-bench.lock"]


def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """The version of each package that a lock file pins."""
    lines = re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def asked_for(lock: str) -> list[str]:
    """The requirements that a lock file answers."""
    told = project()
    by_lock = {
        "requirements-build.lock": told["build-system"]["requires"] + told["dependency-groups"]["build"],
        "requirements.lock": told["project"]["dependencies"],
        "requirements-dev.lock": told["dependency-groups"]["dev"],
        "requirements-bench.lock": told["dependency-groups"]["bench"],
    }
    requirements: list[str] = by_lock[lock]
    return requirements


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_what_is_asked_for(lock: str) -> None:
    pinned = pins(lock)
    for requirement in map(Requirement, asked_for(lock)):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, requirement
        assert version in requirement.specifier, requirement


def test_no_package_is_pinned_to_two_versions() -> None:
    seen: dict[str, str] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            assert seen.setdefault(name, version) == version, f"{name} in {lock}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_holds_pins_hashes_and_comments_alone(lock: str) -> None:
    line = re.compile(
        r"[a-z0-9-]+==[^ ]+( ; [^/\\]+)? \\"
        r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
        r"|    # +via( [a-z0-9-]+)?( \(pyproject\.toml(:[a-z]+)?\))?"
        r"|    #   (-c )?[a-z0-9.-]+( \(pyproject\.toml(:[a-z]+)?\))?"
    )
    for text in (ROOT / lock).read_text().splitlines():
        assert line.fullmatch(text), text
