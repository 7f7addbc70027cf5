"""What others take for the work of ``members_history``: the same files, on the same server.

Each peer brings in all members and then a snapshot with 5 % changed, each in a process of its own,
in the environment of peers (``.venv-peers``) and a database of its own. Then it does so again from
where it was after the first load, with keys and an exclusion constraint added. What is in each
history is compared with what must be in it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import members_history
import psycopg
from measuring import (
    contents,
    copy_plain,
    floor_seconds,
    header_of,
    ratio_cells,
    scratch,
    show_table,
)
from members_history import CHANGED_SHARE, COLUMNS, FIRST, FIRST_DAY, SECOND_DAY, SNAPSHOT
from psycopg import sql

from etl.config import ROOT
from etl.db.connection import connect
from etl.db.statements import names, run

ENVIRONMENT = ROOT / ".venv-peers"
PROGRAMS = Path(__file__).resolve().parent / "peers"
RAW = sql.Identifier("raw", "members")
UPDATED = "source_updated_at"
OWN, KEPT = "aca_bench_peer", "aca_bench_peer_kept"
ALL = sql.SQL("true")
# None of them calls home.
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to keep the history of members.

    ``program``: its module in ``peers/``, with the ``variant`` of it. ``package``: whose version is
    done_step. ``is_copied``: it reads no files, so a plain COPY brings them to ``raw.members``.
    ``is_prepared``: its table is made before. ``is_dated``: its file says when each row changed.
    ``part``: it gets one in so many members. ``start``, ``end``, ``period``: columns of validity,
    and the type of their range. ``surrogate``: a column that distinguishes versions.
    ``bears_keys``: false where it inserts a version before it ends the one before, which a unique
    index on current versions refuses.
    """

    name: str
    program: str
    package: str
    variant: str = "members"
    is_copied: bool = False
    is_prepared: bool = False
    is_dated: bool = False
    part: int = 1
    start: str = "valid_from"
    end: str = "valid_to"
    period: str = "tstzrange"
    surrogate: str | None = None
    bears_keys: bool = True

    @property
    def is_current(self) -> sql.Composed:
        """The condition that selects current versions."""
        return sql.SQL("{} is null").format(sql.Identifier(self.end))


DBT: dict[str, Any] = {
    "program": "dbt_snapshot",
    "package": "dbt-core",
    "is_copied": True,
    "start": "dbt_valid_from",
    "end": "dbt_valid_to",
    "surrogate": "dbt_scd_id",
}
DLT: dict[str, Any] = {
    "program": "dlt_scd2",
    "package": "dlt",
    "start": "_dlt_valid_from",
    "end": "_dlt_valid_to",
}
PEERS = (
    Peer("dbt snapshot, check", variant="members_check", period="tsrange", **DBT),
    Peer("dbt snapshot, timestamp", variant="members_timestamp", is_dated=True, **DBT),
    Peer("dlt scd2, rows, CSV", variant="rows", **DLT),
    Peer("dlt scd2, Arrow, ADBC", variant="arrow", **DLT),
    Peer("SQLMesh SCD type 2", "sqlmesh_scd2", "sqlmesh", is_copied=True, period="tsrange"),
    Peer("pandas, COPY", "pandas_frames", "pandas"),
    Peer("polars, ADBC", "polars_frames", "polars"),
    Peer(
        "pygrametl, row by row",
        "pygrametl_scd",
        "pygrametl",
        is_prepared=True,
        part=10,
        bears_keys=False,
    ),
)


@dataclass(slots=True)
class Files:
    """The two files of so many members."""

    members: int
    first: Path
    second: Path

    @property
    def changed(self) -> int:
        """How many members differ in the second file."""
        return int(self.members * CHANGED_SHARE)


def measure(history: dict[str, Any]) -> dict[str, Any]:
    """Each peer's seconds, for as many members as ``history``, the result of members_history.

    ``SystemExit`` where a peer, or our own history, does not contain the versions that it must.
    """
    members = history["members"]
    ours = history["contents"]
    _require_versions(
        "our own history", ours, members, int(members * CHANGED_SHARE), after=SECOND_DAY
    )
    versions = _versions()
    files: dict[tuple[int, bool], Files] = {}
    found = []
    floors = [*history["floors"]]
    with scratch() as (url, folder):
        files[members, False] = _files(folder, members, is_dated=False)
        for peer in PEERS:
            floors.append(sum(floor_seconds(url, files[members, False].first.parent).values()))
            size = max(members // peer.part, 1)
            if (size, peer.is_dated) not in files:
                files[size, peer.is_dated] = _files(folder, size, is_dated=peer.is_dated)
            found.append(_measured(peer, url, folder, files[size, peer.is_dated]))
            found[-1]["version"] = versions[peer.package]
    floor = statistics.median(floors)
    for one in found:
        # The same for all, whatever a tool's file has besides, and its share for fewer members.
        one["floor_seconds"] = round(floor * one["members"] / members, 3)
    return {
        "members": members,
        "floors": [round(seconds, 2) for seconds in floors],
        "floor_seconds": round(floor, 2),
        "peers": found,
    }


def show(result: dict[str, Any], history: dict[str, Any]) -> None:
    """Print the measurements: seconds, with start-up apart, and ratios to the one floor."""
    first, second = (sum(history["seconds"][what].values()) for what in (FIRST, SNAPSHOT))
    floor = result["floor_seconds"]
    ours = (
        "ours",
        f"{history['members']:,}",
        f"{history['start_seconds']:.2f}",
        *ratio_cells(first, floor),
        *("in place", f"{first / floor:.2f}"),
        *ratio_cells(second, floor) * 2,
        ", ".join(history["contents"]["guards"]),
    )
    show_table(
        f"The same by others, and by us; plain COPY of the file = 1, for {result['members']:,} "
        f"members {floor:.2f} s, the median of {members_history.least_and_most(result)}",
        (
            *("what", "members", "start-up", "first load", "ratio", "keys after", "ratio of both"),
            *("5 % changed", "ratio", "with keys", "ratio", "guards of its table"),
        ),
        (ours, *map(_cells, result["peers"])),
        also_left=("guards of its table",),
        width=220,
    )


def _cells(peer: dict[str, Any]) -> tuple[str, ...]:
    floor, with_keys = peer["floor_seconds"], peer["snapshot_with_keys_seconds"]
    return (
        f"{peer['name']} ({peer['version']})",
        f"{peer['members']:,}",
        f"{peer['start_seconds']:.2f}",
        *ratio_cells(peer["first_seconds"], floor),
        *_keys_cells(peer, floor),
        *ratio_cells(peer["snapshot_seconds"], floor),
        *(("", "") if with_keys is None else ratio_cells(with_keys, floor)),
        ", ".join(peer["contents"]["guards"]) or "none",
    )


def _keys_cells(peer: dict[str, Any], floor: float) -> tuple[str, str]:
    """Seconds of the keys by themselves, and the ratio of the first load with them."""
    keys = peer["keys_seconds"]
    if keys is None:
        return "refused", ""
    return f"{keys:.2f}", f"{(peer['first_seconds'] + keys) / floor:.2f}"


def _versions() -> dict[str, str]:
    found = sorted(ENVIRONMENT.glob("lib/python*/site-packages"))
    if not found:
        raise SystemExit(f"{ENVIRONMENT.name} is missing; make bench PEERS=1 makes it.")
    return {d.name: d.version for d in distributions(path=[str(path) for path in found])}


def _files(folder: Path, members: int, *, is_dated: bool) -> Files:
    """Write the files of ``members_history``; dated ones say of each row when it changed."""
    inbox = folder / f"files-{members}{'-dated' if is_dated else ''}"
    inbox.mkdir()
    changed = members_history.changed_members(members)
    columns = f"{COLUMNS},{UPDATED}" if is_dated else COLUMNS

    def lines(renamed: set[int]) -> Iterator[str]:
        for n in range(members):
            line = members_history.row(n, "New" if n in renamed else "Last")
            day = SECOND_DAY if n in renamed else FIRST_DAY
            yield f"{line},{day}T00:00:00Z" if is_dated else line

    first = members_history.write_batch(inbox, FIRST_DAY, lines(set()), columns)
    second = members_history.write_batch(inbox, SECOND_DAY, lines(changed), columns)
    return Files(members, first / "members.csv", second / "members.csv")


def _measured(peer: Peer, url: str, folder: Path, files: Files) -> dict[str, Any]:
    home = folder / f"{peer.program}-{peer.variant}"
    kept = folder / f"{home.name}-kept"
    home.mkdir()
    own = f"{url.rsplit('/', 1)[0]}/{OWN}"
    with connect(url, "aca-warehouse bench") as admin, ExitStack() as databases:
        for name in (OWN, KEPT):
            # A run that was killed leaves them behind.
            _drop(admin, name)
            databases.callback(_drop, admin, name)
        run(admin, "bench/floor.create_database", database=sql.Identifier(OWN))
        if peer.is_prepared:
            _prepare(own, files)
        first = _step(peer, own, home, files.first, FIRST_DAY)
        _require_versions(
            peer.name, _contents(peer, own, first["table"]), files.members, 0, after=FIRST_DAY
        )
        with connect(own, "aca-warehouse bench") as connection:
            run(connection, "bench/peers.analyze")
        if peer.bears_keys:
            _copy_database(admin, OWN, KEPT)
            shutil.copytree(home, kept)
        second = _second(peer, own, home, files)
        keys = with_keys = None
        if peer.bears_keys:
            # The same name and folder again: peers remember both.
            _drop(admin, OWN)
            _copy_database(admin, KEPT, OWN)
            shutil.rmtree(home)
            kept.rename(home)
            keys = round(_add_keys(peer, own, first["table"]), 2)
            keyed = _second(peer, own, home, files)
            with_keys = round(keyed["seconds"], 2)
            if "no overlap" not in keyed["contents"]["guards"]:
                raise SystemExit(f"{peer.name} dropped the keys that were added.")
    return {
        "name": peer.name,
        "members": files.members,
        "start_seconds": round(min(first["start"], second["start"]), 2),
        "first_seconds": round(first["seconds"], 2),
        "snapshot_seconds": round(second["seconds"], 2),
        "keys_seconds": keys,
        "snapshot_with_keys_seconds": with_keys,
        "contents": second["contents"],
    }


def _second(peer: Peer, url: str, home: Path, files: Files) -> dict[str, Any]:
    """The second file through a peer, and what its history contains then."""
    step = _step(peer, url, home, files.second, SECOND_DAY)
    held = _contents(peer, url, step["table"])
    _require_versions(peer.name, held, files.members, files.changed, after=SECOND_DAY)
    return {**step, "contents": held}


def _drop(admin: psycopg.Connection[Any], name: str) -> None:
    run(admin, "bench/floor.drop_database", database=sql.Identifier(name))


def _copy_database(admin: psycopg.Connection[Any], original: str, name: str) -> None:
    run(
        admin,
        "bench/peers.create_copy",
        database=sql.Identifier(name),
        original=sql.Identifier(original),
    )


def _prepare(url: str, files: Files) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("{} text").format(sql.Identifier(name)) for name in header_of(files.first)
    )
    with connect(url, "aca-warehouse bench") as connection:
        run(connection, "bench/peers.create_dimension", column_types=columns)


def _step(peer: Peer, url: str, home: Path, file: Path, day: str) -> dict[str, Any]:
    """One file through one peer: seconds of the work, of the start before it, and the table."""
    copied = 0.0
    if peer.is_copied:
        with connect(url, "aca-warehouse bench") as connection:
            run(connection, "bench/peers.create_raw_schema")
            run(connection, "bench/peers.drop_raw")
            copied = copy_plain(connection, file, RAW, {UPDATED: "timestamptz"})
    arguments = [peer.variant, str(file), str(home), f"{day}T00:00:00+00:00"]
    log = home / "log.txt"
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as said:
        done = subprocess.run(
            [
                str(ENVIRONMENT / "bin" / "python"),
                str(PROGRAMS / f"{peer.program}.py"),
                *arguments,
                *(["--first"] if day == FIRST_DAY else []),
            ],
            cwd=home,
            # What peers keep in a home of their own stays in the folder too.
            env={
                **os.environ,
                **QUIET,
                "HOME": str(home),
                "PYTHONPATH": str(ROOT),
                "DATABASE_URL": url,
            },
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    wall = time.perf_counter() - started
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").replace(url, "…")[-3000:]
        raise SystemExit(f"{tail}\n{peer.name} ended with exit code {done.returncode}.")
    done_step = json.loads((home / "step.json").read_text(encoding="utf-8"))
    return {
        "seconds": copied + done_step["seconds"],
        "start": wall - done_step["seconds"],
        "table": done_step["table"],
    }


def _identifier(table: str) -> sql.Identifier:
    """The table that a peer names, in whatever way it quotes it; without the database."""
    return sql.Identifier(*table.replace('"', "").split(".")[-2:])


def _contents(peer: Peer, url: str, table: str) -> dict[str, Any]:
    return contents(url, _identifier(table), peer.is_current, ALL)


def _add_keys(peer: Peer, url: str, table: str) -> float:
    """Seconds of the keys that our dimension has, and of a constraint against overlaps."""
    of_peer = _identifier(table)
    parts = {
        "table": of_peer,
        "valid_from": sql.Identifier(peer.start),
        "valid_to": sql.Identifier(peer.end),
        "is_current": peer.is_current,
        "period": sql.Identifier(peer.period),
    }
    held = contents(url, of_peer, peer.is_current, ALL)["guards"]
    with connect(url, "aca-warehouse bench") as connection:
        run(connection, "bench/peers.create_gist")
        started = time.perf_counter()
        if "primary key" not in held:
            key = [peer.surrogate] if peer.surrogate else ["member_id", peer.start]
            run(connection, "bench/peers.add_primary_key", **parts, columns=names(key))
        if peer.surrogate:
            run(connection, "bench/peers.add_unique", **parts)
        run(connection, "bench/peers.add_unique_current", **parts)
        run(connection, "bench/peers.add_no_overlap", **parts)
        return time.perf_counter() - started


def _require_versions(
    who: str, held: dict[str, Any], members: int, changed: int, after: str
) -> None:
    """``SystemExit`` unless a history contains the versions that it must."""
    wanted = {
        "versions": members + changed,
        "current_versions": members,
        "members": members,
        "renamed": changed,
    }
    wrong = [
        f"{held[name]:,} {name.replace('_', ' ')}, not {count:,}"
        for name, count in wanted.items()
        if held[name] != count
    ]
    if wrong:
        raise SystemExit(f"{who}, after {after}: " + "; ".join(wrong))
