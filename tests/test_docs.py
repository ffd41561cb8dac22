"""What stands in `docs/`: it has the right form, and speaks of nothing that does not exist."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

import scheduler
from scheduler import Scheduler, standing
from scheduler.cli.app import app
from scheduler.cli.serve import OVERDUE_S
from scheduler.refusals import Disposition
from scheduler.sidecar import SidecarOptions
from scheduler.sidecar.metrics import Metrics
from scheduler.simulator import Simulator

from . import virtual_time
from .journal.shared_memory import Database, HostJournal
from .promql import Wrong, check

ROOT = Path(scheduler.__file__).parents[1]
DOCS = ROOT / "docs"
MANUAL = (DOCS / "operation.md").read_text("utf-8")
ALERTS = yaml.safe_load((DOCS / "alerts.yml").read_text("utf-8"))
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
UNIT = (DOCS / "margin-scheduler.service").read_text("utf-8")
CONTAINER = (DOCS / "Containerfile").read_text("utf-8")

RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")


def seen() -> dict[str, set[str]]:
    """Every series that a scheduler at work has, with its labels."""

    async def work() -> str:
        async with Simulator(port=None) as sim:
            # One that others may share: then there is most to tell.
            journal = HostJournal(Database())
            scheduler = Scheduler([sim.account("main")], journal=journal, transport=sim.transport)
            metrics = Metrics(scheduler)
            async with scheduler:
                await scheduler.borrow("main", "USDT", "1")
                sim.fail_next("403")  # an alarm, and a hold
                await scheduler.submit("main", "BORROW", "USDT", "1")
                await asyncio.sleep(5)
                return metrics.exposition()[0].decode()

    series: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(virtual_time.run(work())):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


SERIES = seen()


def sections() -> dict[str, str]:
    """The manual's text by heading."""
    parts = re.split(r"^#{2,3} (.+)$", MANUAL, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# The manual


def alarm_causes() -> set[str]:
    """As the model lists them."""
    source = (ROOT / "scheduler" / "model.py").read_text("utf-8")
    listed = re.search(r'cause: str\n    """(.*?)"""', source, re.DOTALL)
    assert listed is not None
    return set(re.findall(r"`(\w+)`", listed[1]))


def raised_causes() -> Iterator[str]:
    for path in (ROOT / "scheduler").rglob("*.py"):
        yield from re.findall(r'alarm\((?:\w+, )?\s*"(\w+)"', path.read_text("utf-8"))


def test_the_model_lists_every_cause_that_is_raised() -> None:
    assert set(raised_causes()) == alarm_causes()


@pytest.mark.parametrize("cause", sorted(alarm_causes()))
def test_every_alarm_has_a_section_that_says_what_to_do(cause: str) -> None:
    assert len(sections()[cause].split()) > 30


def test_every_reason_to_wait_is_explained() -> None:
    pauses = {value for name, value in vars(standing).items() if name.isupper()}
    back_offs = {Disposition.BUSY, Disposition.CLOCK, Disposition.STARVED, Disposition.LIMITED}
    others = {"unreachable", "banned", "firewalled", "unknown", "unresolved"}
    explained = set(re.findall(r"`(\w+)`", sections()["waiting"]))
    assert pauses | {cause.name.lower() for cause in back_offs} | others <= explained


@pytest.mark.parametrize("cause", sorted(alarm_causes()))
def test_every_alarm_has_a_rule(cause: str) -> None:
    assert cause in {rule["annotations"]["operation"] for rule in RULES}


def test_the_manual_names_only_commands_that_exist() -> None:
    group = typer.main.get_command(app)
    known = set(group.commands)  # type: ignore[attr-defined]
    texts = [MANUAL, *(rule["annotations"]["description"] for rule in RULES)]
    for text in texts:
        named = re.findall(r"(?:`|^ *)margin-scheduler ([a-z-]+)", text, re.MULTILINE)
        assert set(named) <= known, set(named) - known


def test_the_manual_names_only_options_that_exist() -> None:
    group = typer.main.get_command(app)
    for name, rest in re.findall(r"margin-scheduler ([a-z-]+)([^`\n]*)", MANUAL):
        command = group.commands.get(name)  # type: ignore[attr-defined]
        if command is None or name == "journal":
            continue
        known = {flag for parameter in command.params for flag in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_the_manual_names_only_metrics_and_files_that_exist() -> None:
    assert set(re.findall(r"margin_scheduler_\w+", MANUAL)) <= SERIES.keys()
    for target in re.findall(r"\]\(([^)]+)\)", MANUAL):
        assert (DOCS / target).is_file(), target


@pytest.mark.parametrize(
    "setting",
    sorted(set(re.findall(r"`((?:limits|sidecar)\.\w+)", MANUAL + UNIT))),
)
def test_the_manual_names_only_settings_that_exist(setting: str) -> None:
    table, name = setting.split(".")
    owner = scheduler.Limits if table == "limits" else SidecarOptions
    assert name in owner.__dataclass_fields__


# Alert rules


def test_the_rules_file_has_prometheus_form() -> None:
    assert ALERTS.keys() == {"groups"}
    for group in ALERTS["groups"]:
        assert {"name", "rules"} <= group.keys() <= {"name", "rules", "interval", "limit"}
        assert DURATION.fullmatch(group.get("interval", "1m"))
    names = [group["name"] for group in ALERTS["groups"]]
    assert len(names) == len(set(names))


def test_no_two_alerts_have_one_name() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))


RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@RULE
def test_a_rule_has_an_alerts_form(rule: dict[str, Any]) -> None:
    assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
    assert rule.keys() <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert DURATION.fullmatch(rule.get("for", "1m"))
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    for values in (rule["labels"], rule["annotations"]):
        assert all(re.fullmatch(r"[a-zA-Z_]\w*", name) for name in values)
        assert all(isinstance(value, str) for value in values.values())


@RULE
def test_a_rules_expression_is_a_vector_of_what_exists(rule: dict[str, Any]) -> None:
    assert check(rule["expr"], SERIES).kind == "vector"


@RULE
def test_a_rule_says_what_to_do_and_where_it_is_explained(rule: dict[str, Any]) -> None:
    assert {"summary", "description", "operation"} == rule["annotations"].keys()
    assert len(rule["annotations"]["description"].split()) >= 10
    assert rule["annotations"]["operation"] in sections()


@RULE
def test_a_rules_templates_use_what_its_expression_gives(rule: dict[str, Any]) -> None:
    labels = check(rule["expr"], SERIES).labels | {"instance", "job"}
    for text in rule["annotations"].values():
        assert text.count("{{") == text.count("}}")
        for template in re.findall(r"\{\{(.*?)\}\}", text):
            used = re.fullmatch(
                r" \$(?:labels\.(\w+)|value(?: \| humanize\w*)?) ", template, re.DOTALL
            )
            assert used is not None, template
            assert used[1] is None or used[1] in labels, template


# The dashboard


def expressions() -> Iterator[tuple[str, str]]:
    """Each panel's title and expression, as Prometheus gets it."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], substituted(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], substituted(annotation["expr"])


def substituted(expression: str) -> str:
    text = expression.replace("$__rate_interval", "1m").replace("$account", "main|hedge")
    assert "$" not in text
    return text


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_panel_shows_what_exists(title: str, expression: str) -> None:
    assert check(expression, SERIES).kind == "vector"


def test_a_panels_legend_uses_what_its_expression_gives() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            labels = check(substituted(target["expr"]), SERIES).labels | {"instance"}
            named = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
            assert set(named) <= labels, panel["title"]


def test_the_dashboards_variables_exist() -> None:
    source, account = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    named = re.fullmatch(r"label_values\((\w+), (\w+)\)", account["query"])
    assert named is not None
    assert named[2] in SERIES[named[1]]
    for panel in PANELS:
        for target in [panel, *panel["targets"]]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_have_their_own_place_and_number() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    told = json.dumps(DASHBOARD) + json.dumps(ALERTS)
    for name in SERIES:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert base in told, name


# The reader of expressions


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("margin_scheduler_no_such > 0", "no metric"),
        ("margin_scheduler_unresolved{kind='x'} > 0", "cannot read"),
        ('margin_scheduler_unresolved{kind="x"} > 0', "no label"),
        ("rate(margin_scheduler_submissions_total) > 0", "a vector where a range"),
        ("margin_scheduler_submissions_total[5m] > 0", "no range"),
        ("sum(margin_scheduler_unresolved", "missing"),
        ("sum by (cause) (margin_scheduler_unresolved)", "nothing to aggregate"),
        ("margin_scheduler_unresolved > 0)", "left over"),
        ("margin_scheduler_uid_weight > 2 * on (account) margin_scheduler_queued", "both sides"),
        ("margin_scheduler_uid_weight > margin_scheduler_uid_weight_limit", "nothing matches"),
        ("histogram_quantile(0.5, margin_scheduler_journal_up)", "needs le"),
        ("1 > 0", "between two numbers"),
        ("nonsense(margin_scheduler_journal_up)", "no function"),
        ("margin_scheduler_journal_up ==", "the end"),
    ],
)
def test_what_prometheus_would_not_take_is_refused(expression: str, why: str) -> None:
    with pytest.raises(Wrong, match=why):
        check(expression, SERIES)


# The unit and the container


def directives() -> dict[str, list[str]]:
    """The unit's settings, those of every section together."""
    found: dict[str, list[str]] = {}
    for line in UNIT.splitlines():
        if line and line[0] not in "#[":
            name, is_given, value = line.partition("=")
            assert is_given, line
            found.setdefault(name, []).append(value)
    return found


def test_a_wrong_configuration_is_not_started_again() -> None:
    unit = directives()
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize(
    "seconds",
    [
        lambda: int(directives()["TimeoutStopSec"][0].removesuffix("s")),
        lambda: int(re.findall(r"--stop-timeout (\d+)", CONTAINER)[0]),
    ],
    ids=["unit", "container"],
)
def test_there_is_time_to_drain_before_it_is_killed(seconds: Callable[[], int]) -> None:
    assert seconds() >= SidecarOptions().drain_timeout_s + OVERDUE_S + 5


def test_the_unit_gives_secrets_as_credentials_and_no_other_way() -> None:
    unit = directives()
    assert len(unit["LoadCredential"]) >= 3
    assert not {"Environment", "EnvironmentFile", "PassEnvironment"} & unit.keys()


@pytest.mark.parametrize(
    "setting",
    [
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "UMask=0077",
        "LimitCORE=0",
        "StateDirectory=margin-scheduler",
        "StateDirectoryMode=0700",
        "Type=notify",
    ],
)
def test_the_unit_is_hardened(setting: str) -> None:
    name, _, value = setting.partition("=")
    assert directives()[name] == [value]


def test_the_container_runs_as_its_own_user_and_keeps_its_journal_outside() -> None:
    lines = [line for line in CONTAINER.splitlines() if line and not line.startswith(("#", " "))]
    words = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "STOPSIGNAL"}
    assert {line.split()[0] for line in lines} == words | {"ENTRYPOINT", "CMD"}
    last = CONTAINER.rpartition("FROM ")[2]
    assert "USER margin\n" in last
    assert "VOLUME /var/lib/margin-scheduler\n" in last
    assert 'ENTRYPOINT ["margin-scheduler"]\n' in last


def test_every_rule_that_counts_alarms_counts_a_cause_that_there_is() -> None:
    alarms = r'alarms_total\{cause="(\w+)"'
    counted = {cause for rule in RULES for cause in re.findall(alarms, rule["expr"])}
    assert counted
    assert counted <= alarm_causes()
