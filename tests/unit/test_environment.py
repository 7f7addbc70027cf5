"""The files at the top of the repository say the same as the code and as each other."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from etl.config import ROOT
from etl.server.tuning import GIB, server_settings
from tests.support.make import make

TARGETS = (
    *("help", "setup", "lock", "up", "down", "status", "migrate", "seed", "seed-increment"),
    *("full-load", "incremental", "stage", "dims", "facts", "cubes", "dq-check", "dq-report"),
    *("test", "lint", "format", "docs", "bench", "psql", "db-url", "clean"),
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# The locks: ours, and that of the peers that the bench measures

PEERS_LOCK = "scripts/bench/peers/requirements.lock"


def stale_lines(pyproject: str, lock: str, group: str = "") -> list[str]:
    """What `make lock` would change: requirements that the lock does not follow."""
    declared = tomllib.loads(pyproject)
    project = declared["project"]
    if group:
        wanted, feed = declared["dependency-groups"][group], f"(pyproject.toml:{group})"
    else:
        wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
        feed = "(pyproject.toml)"
    required = {canonicalize_name(r.name): r for r in map(Requirement, wanted)}
    pinned, direct = {}, set()
    for block in re.split(r"\n(?=[a-z0-9])", lock):
        pin = Requirement(block.split("\\")[0])
        pinned[canonicalize_name(pin.name)] = pin
        if feed in block:
            direct.add(canonicalize_name(pin.name))
    problems = []
    for name, requirement in required.items():
        pin = pinned.get(name)
        if pin is None:
            problems.append(f"{name} is not locked")
            continue
        version = str(pin.specifier).removeprefix("==")
        if not requirement.specifier.contains(version):
            problems.append(f"{name} is locked at {version}")
        if name not in direct:
            problems.append(f"{name} is locked for another package's sake only")
        # uv writes psycopg[binary] as psycopg and psycopg-binary, the second "via psycopg".
        problems += [
            f"{name}[{extra}] is not locked"
            for extra in requirement.extras
            if f"{name}-{extra}" not in pinned
        ]
    problems += [f"{name} is no longer wanted" for name in direct - required.keys()]
    return problems


def lock_body(name: str = "requirements.lock") -> str:
    return "\n".join(line for line in read(name).splitlines() if line[:1] != "#")


def test_lock_follows_pyproject() -> None:
    assert stale_lines(read("pyproject.toml"), lock_body()) == [], "run: make lock"


def test_lock_of_peers_follows_pyproject() -> None:
    assert stale_lines(read("pyproject.toml"), lock_body(PEERS_LOCK), "peers") == [], (
        "run: make lock"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"rich>=13.7",', '"rich>=13.7",\n"requests>=2",'),
        ('"rich>=13.7",', '"rich>=13.7",\n"some-new-package",'),
        ('"rich>=13.7",', ""),
        ('"rich>=13.7",', '"rich>=1300",'),
        ('"rich>=13.7",', '"rich[jupyter]>=13.7",'),
        ('"uv>=0.5",', ""),
    ],
    ids=["needed by others", "new", "dropped", "newer", "extra", "dropped from dev"],
)
def test_changed_dependency_makes_lock_stale(old: str, new: str) -> None:
    pyproject = read("pyproject.toml")
    assert old in pyproject
    assert stale_lines(pyproject.replace(old, new), lock_body())


@pytest.mark.parametrize("name", ["requirements.lock", PEERS_LOCK])
def test_lock_names_no_address_and_hashes_everything(name: str) -> None:
    lock = read(name)
    assert not re.search(r"://|--index|--find-links|^-|file:|\s/\w", lock, re.MULTILINE)
    for block in re.split(r"\n(?=[a-z0-9])", lock_body(name)):
        assert "--hash=sha256:" in block, block.split("\\")[0]


def test_lock_is_for_the_oldest_python_we_take() -> None:
    assert tomllib.loads(read("pyproject.toml"))["project"]["requires-python"] == ">=3.11"
    assert "--python-version 3.11 " in read("Makefile")


# The Makefile


def helped_targets() -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("target", TARGETS)
def test_target_has_help(target: str) -> None:
    assert helped_targets().get(target)


def test_make_alone_prints_every_target() -> None:
    shown = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    missing = [t for t in helped_targets() if not re.search(rf"^ +{t} ", shown, re.MULTILINE)]
    assert not missing


def test_every_target_is_phony_and_one_line() -> None:
    makefile = read("Makefile")
    asked = ["make", "--print-data-base", "--question", "help"]
    known = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    phony = set(re.findall(r"^\.PHONY:(.*)$", known, re.MULTILINE)[0].split())
    assert helped_targets().keys() <= phony
    for target in helped_targets():
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
        assert recipe is not None
        assert len(recipe[1].splitlines()) <= 1, target


@pytest.mark.parametrize("asked", [True, False])
def test_peers_are_installed_and_measured_only_where_asked_for(asked: bool) -> None:
    dry = make("bench", *(["PEERS=1"] if asked else []))
    assert dry.returncode == 0
    assert ("run.py --peers" in dry.stdout) is asked
    if not (asked and (ROOT / ".venv-peers" / ".ready").exists()):
        assert ("peers/setup.sh" in dry.stdout) is asked


def test_clean_data_asks_first() -> None:
    dry = make("clean-data").stdout
    assert "remove(" not in dry
    assert "CONFIRM=yes" in dry


# Settings


def names_given_to(function: str, position: int) -> set[str]:
    """The constants that calls of a function of etl/config.py have at this position."""
    calls = [n for n in ast.walk(ast.parse(read("etl/config.py"))) if isinstance(n, ast.Call)]
    return {
        call.args[position].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == function
        and isinstance(call.args[position], ast.Constant)
    }


def keys_read_by_config() -> set[str]:
    secrets = names_given_to("_secret", 1)
    return names_given_to("read", 0) | secrets | {f"{name}_FILE" for name in secrets}


def keys_read_by_compose() -> set[str]:
    return set(re.findall(r"\$\{(\w+)", read("docker-compose.yml")))


def test_env_example_documents_every_variable() -> None:
    keys = re.findall(r"^(\w+)=", read(".env.example"), re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {"DATABASE_URL", "POSTGRES_PASSWORD"} <= set(keys)
    assert set(keys) == keys_read_by_config() | keys_read_by_compose()


def test_every_secret_may_come_from_a_file() -> None:
    keys = re.findall(r"^(\w+)=", read(".env.example"), re.MULTILINE)
    is_secret = re.compile("PASSWORD|SECRET|TOKEN|_URL|_KEY|WEBHOOK")
    secrets = {key for key in keys if is_secret.search(key) and not key.endswith("_FILE")}
    assert secrets == {"DATABASE_URL", "POSTGRES_PASSWORD", "ALERT_WEBHOOK", "SMTP_URL"}
    assert {f"{key}_FILE" for key in secrets} <= set(keys)
    assert secrets - keys_read_by_compose() == names_given_to("_secret", 1)


PREPARE = "scripts/compose/prepare.sh"
TLS = ("ssl", "ssl_cert_file", "ssl_key_file", "hba_file")


def whole_compose() -> dict:
    return yaml.safe_load(read("docker-compose.yml"))


def compose() -> dict:
    return whole_compose()["services"]["postgres"]


def compose_settings() -> dict[str, str]:
    flags = compose()["command"][1:]
    return dict(flag.removeprefix("-c").split("=", 1) for flag in flags)


def test_compose_has_no_default_password() -> None:
    environment = compose()["environment"]
    assert environment["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"
    assert "POSTGRES_HOST_AUTH_METHOD" not in read("docker-compose.yml")
    prepared = whole_compose()["services"]["prepare"]["environment"]["PASSWORD_GIVEN"]
    assert prepared == "${POSTGRES_PASSWORD:+variable}${POSTGRES_PASSWORD_FILE:+file}"
    assert compose()["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}


def test_compose_takes_the_password_from_a_file() -> None:
    target = "/run/secrets/postgres_password"
    environment = compose()["environment"]
    assert environment["POSTGRES_PASSWORD_FILE"] == f"${{POSTGRES_PASSWORD_FILE:+{target}}}"
    for service in whole_compose()["services"].values():
        assert service["secrets"] == ["postgres_password"]
    secret = whole_compose()["secrets"]["postgres_password"]
    assert secret == {"file": "${POSTGRES_PASSWORD_FILE:-.env.example}"}


def test_compose_lets_in_over_the_network_by_tls_and_scram_only() -> None:
    settings = compose_settings()
    assert settings["ssl"] == "on"
    (config,) = compose()["configs"]
    assert settings["hba_file"] == config["target"]
    content = whole_compose()["configs"][config["source"]]["content"]
    rules = [line.split() for line in content.splitlines()]
    assert {rule[0] for rule in rules} == {"local", "hostssl"}
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}


def test_compose_serves_the_certificate_that_is_prepared() -> None:
    settings = compose_settings()
    mounts = [volume.split(":")[:2] for volume in compose()["volumes"]]
    assert ["tls", "/tls"] in mounts
    prepare = whole_compose()["services"]["prepare"]
    assert prepare["entrypoint"][-2:] == ["/tls", "postgres"]
    assert f"./{PREPARE}:/prepare.sh:ro" in prepare["volumes"]
    assert "tls:/tls" in prepare["volumes"]
    assert settings["ssl_cert_file"] == "/tls/server.crt"
    assert settings["ssl_key_file"] == "/tls/server.key"


def test_compose_binds_loopback_only() -> None:
    ports = compose()["ports"]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_keeps_data_in_a_named_volume() -> None:
    volumes = whole_compose()["volumes"]
    name, folder = compose()["volumes"][0].split(":")
    assert name in volumes
    assert folder == "/var/lib/postgresql"


def test_compose_has_the_settings_of_the_embedded_server() -> None:
    settings = {k: v for k, v in compose_settings().items() if k not in TLS}
    memory = int(compose()["mem_limit"].removesuffix("g")) * GIB
    shared = int(compose()["shm_size"].removesuffix("g")) * GIB
    assert settings == server_settings(memory, int(compose()["cpus"]), shared)


# Passwords

PASSWORD = re.compile(
    r"""
      ://[^\s:/@"'`{}]+:(?P<url>[^\s@"'`]+)@             # in a URL
    | \b\w*(?:password|passwd|pwd|secret)\b["']?
      [ \t]*[=:](?!=)[ \t]*(?P<value>["'][^"'\n]+["']|[^\s"'#,)]+)  # given to a name
    | \bpassword\s+'(?P<sql>[^']+)'                      # in SQL
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A placeholder, a variable, an expression or a type: nothing that anybody could log in with.
HARMLESS = re.compile(
    r"[\"']?(\$\{.*|\{.*|\(.*|%\(.*|%s|<.*|\*+|\.\.\.|…|password|str\b.*|None|True|False|[a-z_.]+\(.*|[a-z_.]+|\+[a-z]+\}.*)[\"']?;?"
)


def passwords_in(text: str) -> list[str]:
    found = [m["url"] or m["value"] or m["sql"] for m in PASSWORD.finditer(text)]
    return [word for word in found if not HARMLESS.fullmatch(word)]


@pytest.mark.parametrize(
    "line",
    [
        "DATABASE_URL=postgresql://aca_owner:hunter2@localhost/aca_warehouse",
        "POSTGRES_PASSWORD=Hunter2",
        'password = "Tr0ub4dor&3"',
        "POSTGRES_PASSWORD: s3cret",
        "alter role analyst password 'Hunter2'",
    ],
)
def test_password_is_recognized(line: str) -> None:
    assert passwords_in(line)


def test_no_file_contains_a_password() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so nobody knows which files belong to it")
    guilty = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        # The examples above are the only ones.
        if path == Path(__file__) or not path.is_file() or path.suffix in {".gz", ".csv", ".lock"}:
            continue
        if words := passwords_in(path.read_text(encoding="utf-8", errors="replace")):
            guilty[name] = words
    assert guilty == {}


# Variables of the Makefile


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed", "MEMBER=200"], "did you mean MEMBERS?"),
        (["seed", "members=200"], "did you mean MEMBERS?"),
        (["full-load", "MEMBERS=200"], "which is for make seed"),
        (["incremental", "CONFIRM_SNAPSHOTS=x"], "did you mean CONFIRM_SNAPSHOT?"),
        (["clean-data", "CONFIRMED=yes"], "did you mean CONFIRM?"),
        (["status", "INBX=/tmp"], "did you mean INBOX?"),
        (["ANYTHING=1"], "make help does not know the variable ANYTHING."),
    ],
)
def test_a_variable_that_no_target_asked_for_knows_is_refused(words: list[str], said: str) -> None:
    done = make(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["seed", "MEMBERS=20", "GZIP=yes"],
        ["seed", "full-load", "MEMBERS=20"],
        ["full-load", "INBOX=/tmp/x", "DEBUG=1"],
        ["dq-threshold", "CHECK=x", "WHY=it is, MEMBER=200 or not"],
        ["setup", "PYTHON=python3"],
    ],
)
def test_a_variable_that_a_target_or_every_target_knows_is_taken(words: list[str]) -> None:
    done = make(*words, MEMBER="1")
    assert done.returncode == 0, done.stderr


SWITCHES = sorted(
    {
        (target, name, word)
        for target, said in helped_targets().items()
        for name, word in re.findall(r"([A-Z_]+)=(yes|1)", said)
    }
)


@pytest.mark.parametrize(("target", "name", "word"), SWITCHES)
def test_switch_refuses_all_but_its_word_and_no(target: str, name: str, word: str) -> None:
    more = ["CONFIRM=yes"] if target == "clean-data" and name != "CONFIRM" else []
    plain = make(target, *more).stdout
    for value in ("", "no"):
        assert make(target, *more, f"{name}={value}").stdout == plain
    assert make(target, *more, f"{name}={word}").stdout != plain
    for value in ("true", "2", "YES", "yes no", "it's, $(x)", "yes\nno"):
        done = make(target, *more, f"{name}={value}")
        assert done.returncode == 2, value
        assert f"of {name}: write {name}={word}, or leave it out; nothing was done" in done.stderr
        assert done.stdout == ""
    assert f"the value on of {name}" in make(target, **{name: "on"}).stderr


def test_every_variable_of_a_recipe_is_named_in_its_help() -> None:
    makefile = read("Makefile")
    lock = re.findall(r"^LOCK :=(.*)$", makefile, re.MULTILINE)[0]
    for target, said in helped_targets().items():
        rule = re.search(rf"^{target}:[^#\n]*##.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
        assert rule is not None
        text = rule[1] + lock * ("$(LOCK)" in rule[1])
        used = set(re.findall(r"(?:\$\(|\(value |\(call given,)([A-Z_]+)\)", text))
        named = set(re.findall(r"([A-Z_]+)=", said))
        assert used - {"PY", "LOCK"} == named, target


@pytest.mark.parametrize("target", sorted(helped_targets()))
def test_each_value_reaches_the_command_as_it_was_given(target: str) -> None:
    """One word of the shell, of which make itself reads nothing."""
    named = set(re.findall(r"([A-Z_]+)=(?!yes|1)", helped_targets()[target])) - {"ARGS"}
    values = {name: f'it\'s $5 {name} [/x] $(shell exit) #; \\ "q" ' for name in sorted(named)}
    done = make(target, *(f"{name}={value}" for name, value in values.items()))
    assert done.returncode == 0, done.stderr
    assert set(values.values()) <= set(shlex.split(done.stdout))


def recipe(tmp_path: Path, line: str, *words: str, **environment: str) -> str:
    """What a recipe of one line prints that is run like those of the Makefile."""
    file = tmp_path / "Makefile"
    file.write_text(f"include Makefile\nshow:\n\t@{line}\n", encoding="utf-8")
    done = subprocess.run(
        ["make", "-s", "-f", str(file), "show", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stderr == ""
    return done.stdout


def test_a_setting_reaches_the_programs_as_it_was_given(tmp_path: Path) -> None:
    value = "/data $b/$(shell echo hi) 'x'"
    assert recipe(tmp_path, "printenv INBOX", f"INBOX={value}") == f"{value}\n"


def test_variables_for_other_python_programs_do_not_reach_ours(tmp_path: Path) -> None:
    program = "$(PY) -c 'import sys; print(sys.flags.optimize, \"/other\" in sys.path)'"
    meant = {"PYTHONPATH": "/other", "PYTHONHOME": "/nowhere", "PYTHONOPTIMIZE": "2"}
    assert recipe(tmp_path, program, **meant, PYTHONWARNINGS="error") == "0 False\n"


def test_a_value_of_two_lines_is_refused() -> None:
    done = make("quarantine-export", "BATCH=a\nb")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the value of BATCH has more than one line" in done.stderr
