"""Writes what `deploy/` holds in a second form: the dashboards' JSON, and the rules for the Prometheus Operator.

`python -m deploy.generate` writes, `python -m deploy.generate --check` only compares.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import exporter, heartbeat, heartbeats
from docs.generate import ROOT, settle

RULES = Path("deploy", "prometheus", "rules", "heartbeat.yaml")
PROMETHEUS_RULE = Path("deploy", "kubernetes", "prometheusrule.yaml")
DASHBOARDS = Path("deploy", "grafana", "dashboards")


class _Dumper(yaml.SafeDumper):
    """Writes long texts as blocks, and what stands in several places in each of them."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > 100 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def prometheus_rule(rules: str) -> str:
    """A PrometheusRule with the groups of a file of rules."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "heartbeat-exporter",
            "labels": {"app.kubernetes.io/name": "heartbeat-exporter"},
        },
        "spec": yaml.safe_load(rules),
    }
    head = f"# Made from {RULES.relative_to('deploy')} by `make generated`; edit that file.\n"
    return head + yaml.dump(resource, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def dashboards() -> dict[Path, str]:
    """The JSON of each dashboard by its file."""
    built = {
        "heartbeats.json": heartbeats.dashboard(),
        "heartbeat.json": heartbeat.dashboard(),
        "heartbeat-exporter.json": exporter.dashboard(),
    }
    return {
        DASHBOARDS / name: json.dumps(dashboard.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
        for name, dashboard in built.items()
    }


def generated(root: Path) -> dict[Path, str]:
    """The text of every file that is made here."""
    return {PROMETHEUS_RULE: prometheus_rule((root / RULES).read_text(encoding="utf-8")), **dashboards()}


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the script; returns its exit code: 0 good, 1 something differs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.generate", description="Write what deploy/ holds twice.")
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 and say what differs")
    check: bool = parser.parse_args(arguments).check
    complaints = settle(root, generated(root), check=check)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
