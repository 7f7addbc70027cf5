"""Imports go one way, and one place each reads the environment and opens transactions."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from etl import log
from etl.config import ROOT
from etl.contracts.column import Pii
from etl.contracts.feeds import FEEDS
from etl.db.statements import FOLDER, read_file
from etl.docs import report_queries
from etl.quality.checks.registry import declarations
from etl.schema.warehouse_tables import all_tables
from etl.warehouse.tables import FACTS

# The packages from the bottom up: a module may import from its own floor and below.
FLOORS = (
    ("errors", "contracts", "reference"),
    ("config", "log", "db", "warehouse", "inbox", "files"),
    ("access", "render", "schema", "server"),
    ("stages", "docs", "reports"),
    ("quality", "quarantine", "retention", "audit", "masked_inbox", "dictionary", "export"),
    ("synthetic", "pipeline"),
    ("operations", "drafting"),
    ("cli",),
    ("__main__",),
    ("load",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> list[Path]:
    return sorted(p for p in (ROOT / "etl").rglob("*.py") if p != ROOT / "etl" / "__init__.py")


def imported(path: Path, package: str = "etl") -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == package:
                found |= {f"{package}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith(f"{package}.")}


def part(path: Path) -> str:
    return path.relative_to(ROOT / "etl").with_suffix("").parts[0]


def test_the_ledger_names_every_stage_that_runs() -> None:
    column = all_tables().tables["ledger.stage_run"].c.stage
    named = set(re.findall(r"\w+", str(column.comment)))
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules())
    run = set(re.findall(r'run_stage\(\s*"(\w+)"|"stage": "(\w+)"', code))
    stages = {stage for pair in run for stage in pair if stage}
    assert {"stage", "erase", "checks"} <= stages
    assert stages <= named


def test_imports_go_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in imported(path)
        if FLOOR[name.split(".")[1]] > FLOOR[part(path)]
    ]
    assert wrong == []


def test_production_code_does_not_import_the_generator() -> None:
    found = {
        (part(path), name) for path in modules() for name in imported(path) if "synthetic" in name
    }
    assert {room for room, _ in found} == {"synthetic", "__main__", "cli"}
    # Whether an inbox is synthetic, for commands that have to be quick.
    assert {name for room, name in found if room == "cli"} == {"etl.synthetic.marker"}


def test_only_the_command_line_and_basic_modules_are_outside_packages() -> None:
    loose = {path.stem for path in (ROOT / "etl").glob("*.py")}
    assert loose == {"__init__", "__main__", "config", "errors", "log"}


def test_no_test_module_imports_from_another() -> None:
    tests = ROOT / "tests"
    alone = {path.stem for path in tests.rglob("*.py") if path.parent.name != "support"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(tests.rglob("*.py"))
        for name in imported(path, "tests") | (imported_alone(path) & alone)
        if not name.startswith("tests.support")
    ]
    assert wrong == []


def imported_alone(path: Path) -> set[str]:
    """Modules that are imported by a name without a dot, as pytest lets tests of a folder."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = (n for n in ast.walk(tree) if isinstance(n, ast.Import))
    names = {alias.name for node in plain for alias in node.names}
    return names | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


def test_migrations_import_nothing_of_ours() -> None:
    for path in (ROOT / "migrations" / "versions").glob("*.py"):
        assert imported(path) == set()


def test_only_config_reads_the_environment() -> None:
    found = {
        str(p.relative_to(ROOT / "etl"))
        for p in modules()
        if re.search(r"os\.(environ|getenv)", p.read_text(encoding="utf-8"))
    }
    # The server hands its children an environment of their own; it reads nothing from it.
    assert found - {"config.py"} == {"server/home.py", "server/psql.py"}


# Apart from the pipeline, which writes loads: who opens a transaction, and for what.
OPEN_TRANSACTIONS = {
    "audit/session.py": "who looked, and what was disclosed",
    "access/logins.py": "logins and their roles",
    "dictionary/read.py": "reads, each relation for itself",
    "operations/judge.py": "reads; what may not be read is left out",
    "db/connection.py": "reading(), in which nothing can be written",
    "operations/deprecation.py": "cubes that are made no more",
    "operations/use.py": "who reads what",
    "operations/report_plans.py": "rolled back: only plans are asked for",
    "operations/backup/checksums.py": "reads",
    "operations/backup/dump.py": "names of databases",
    "quality/record.py": "what the checks found",
    "quality/runner.py": "what the checks found",
    "reports/business.py": "rolled back: temporary tables of what was known",
    "quality/share.py": "temporary copies of what is looked at",
    "quality/thresholds.py": "what a check is judged by",
    "schema/build.py": "the names of schemas",
    "schema/dependents.py": "views of others",
    "schema/loader.py": "whose the tables are",
    "schema/node_rights.py": "rights that hold on nodes alone",
    "schema/repeatable.py": "views, functions, triggers and rights of ours",
    "schema/revisions.py": "the names of schemas",
    "server/own_texts.py": "who may call functions of Citus",
    "stages/stage/skipped_rows.py": "rolls back what it tries",
}
# And who opens a connection, on which a statement outside a transaction would be one by itself.
OPEN_CONNECTIONS = {
    "audit/session.py": "who looked, and what was disclosed",
    "audit/who_looked.py": "reads",
    "cli/access.py": "logins and their roles",
    "cli/export.py": "reads",
    "cli/health.py": "reads",
    "cli/operations.py": "plans, and who reads what",
    "dictionary/write.py": "reads",
    "drafting/trial.py": "a database of its own",
    "export/duck.py": "a file of DuckDB",
    "operations/drill_place.py": "a database of its own",
    "operations/health.py": "incidents",
    "operations/backup/copy.py": "reads",
    "operations/backup/dump.py": "names of databases",
    "operations/backup/physical.py": "reads, and puts marks into the log",
    "operations/backup/records.py": "what the ledger lists of backups",
    "operations/backup/restore.py": "reads, and has the lock of the warehouse",
    "operations/backup/staging_files.py": "reads",
    "operations/backup/take.py": "reads",
    "operations/backup/trial.py": "reads",
    "quality/great_expectations.py": "reads",
    "quality/report.py": "reads",
    "quality/runner.py": "reads",
    "quarantine/export.py": "reads",
    "reports/business.py": "reads",
    "schema/migrations.py": "tables",
    "server/cluster.py": "a server of ours",
    "server/psql.py": "whether the server speaks TLS",
    "server/replica.py": "slots of replicas",
    "server/replicas.py": "reads",
    "server/requirements.py": "tries what sessions there may be",
    "server/server.py": "a server of ours",
    "server/nodes.py": "asks whether nodes know each other",
    "server/topology.py": "nodes of a cluster, and passwords of logins on them",
}


def test_only_the_pipeline_opens_transactions_that_write_loads() -> None:
    assert outside_pipeline(r"\.transaction\(") == OPEN_TRANSACTIONS.keys()
    connects = r"(?<!def )\bconnect\("
    assert outside_pipeline(connects) - {"db/connection.py"} == OPEN_CONNECTIONS.keys()
    # Libraries begin transactions of their own on these.
    begun = outside_pipeline(r"\.(commit|rollback)\(|autocommit=False")
    assert begun == {
        "export/duck.py",  # a file of its own
        "quality/great_expectations.py",
        "schema/autogenerate.py",  # what it tries goes again
        "schema/migrations.py",
    }
    for path in FOLDER.rglob("*.sql"):
        for key, text in read_file(str(path.relative_to(FOLDER).with_suffix(""))).items():
            assert not re.match(r"(--.*\n|\s)*(begin|start|commit|rollback)\b", text), key


def outside_pipeline(pattern: str) -> set[str]:
    """Modules outside the pipeline whose text has this."""
    found = {p for p in modules() if re.search(pattern, p.read_text(encoding="utf-8"))}
    return {str(p.relative_to(ROOT / "etl")) for p in found if part(p) != "pipeline"}


def test_every_statement_has_a_name_and_says_what_it_does() -> None:
    for path in sorted(FOLDER.rglob("*.sql")):
        name = str(path.relative_to(FOLDER).with_suffix(""))
        for key, text in read_file(name).items():
            assert text.startswith("-- "), f"{name}.{key} does not say what it does"


def test_every_statement_is_used_by_its_whole_name() -> None:
    statements = [
        (file, key)
        for path in sorted(FOLDER.rglob("*.sql"))
        for file in [str(path.relative_to(FOLDER).with_suffix(""))]
        for key in read_file(file)
    ]
    written: set[str] = set()
    composed: set[re.Pattern[str]] = set()
    for folder in ("etl", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            written |= texts(nodes)
            composed |= patterns(nodes)
    # A statement can also name another one in a brace.
    in_braces = {
        name
        for path in FOLDER.rglob("*.sql")
        for name in re.findall(r"\{(\w+/\w+\.\w+)\}", path.read_text(encoding="utf-8"))
    }
    words = {*in_braces, *written, *report_queries.reports(), *of_checks()}

    @cache
    def is_composed(name: str) -> bool:
        found = [match.groups() for pattern in composed if (match := pattern.fullmatch(name))]
        return any(all(word in words or is_composed(word) for word in groups) for groups in found)

    unused = [
        f"{file}.{key}"
        for file, key in statements
        # Of a file that is named alone every statement is read; a cube's file fills its own gaps.
        if not {file, f"{file}.{key}"} & words
        and not is_composed(f"{file}.{key}")
        and not (file.startswith("cubes/") and f"{{{key}}}" in "".join(read_file(file).values()))
    ]
    assert unused == []


def of_checks() -> set[str]:
    """The statements that declare checks, and those of their files that are parts of others."""
    found = set()
    for one in declarations():
        named = {one.name, one.counted_by, *one.parts.values()}
        for parts in one.gates.values():
            named |= {part.format(name=fact) for part in parts.values() for fact in FACTS}
        for text in read_file(one.file).values():
            named |= set(re.findall(r"\{(\w+)\}", text))
        found |= {f"{file}.{name}" for name in named for file in (one.file, "checks/fragments")}
    return found


def texts(nodes: list[ast.AST]) -> set[str]:
    """Every text that a module writes out."""
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def patterns(nodes: list[ast.AST]) -> set[re.Pattern[str]]:
    """What texts that a module puts together can be: dims/scd2.suspect_(.+), suspect_(.+)."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            pieces = [
                re.escape(str(v.value)) if isinstance(v, ast.Constant) else "([a-z0-9_/.]+)"
                for v in node.values
            ]
            if re.search(r"[a-z]_?|/", "".join(p for p in pieces if p[0] != "(")):
                found.add(re.compile("".join(pieces)))
    return found


def test_log_calls_pass_no_personal_value() -> None:
    personal = [c.name for s in FEEDS.values() for c in s.columns if c.pii is not Pii.NONE]
    assert personal
    event = dict.fromkeys((*personal, "raw_line", "url"), "secret") | {"rows": 3}
    redacted = log.redact(None, "info", event)
    assert "secret" not in redacted.values()
    assert redacted["rows"] == 3
