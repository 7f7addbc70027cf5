"""Ways to read who a person is, and ways to read it without a record, as a login may try them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

MEMBER = "warehouse.dim_member"
SURNAME = "Quenneville"
SETTINGS = (
    ("client_min_messages", "error"),
    ("quote_all_identifiers", "on"),
    ("application_name", 'x","user":"bob"}\n{"user":"bob'),
    ("log_parameter_max_length_on_error", "0"),
    ("backslash_quote", "on"),
    ("standard_conforming_strings", "off"),
    ("extra_float_digits", "-15"),
    ("datestyle", "german"),
    ("timezone", "Asia/Kolkata"),
    ("search_path", "pg_temp"),
    ("client_encoding", "sql_ascii"),
    ("role", "aca_analyst_phi"),
    ("debug_parallel_query", "on"),
    ("plan_cache_mode", "force_generic_plan"),
    ("statement_timeout", "100s"),
)
LOG_SETTINGS = (
    *("log_min_messages", "log_min_error_statement", "log_statement", "log_error_verbosity"),
    *("log_parameter_max_length", "log_duration", "log_destination", "logging_collector"),
    *("log_min_duration_statement", "lc_messages", "session_replication_role", "log_directory"),
    *("log_statement_sample_rate", "log_transaction_sample_rate", "log_executor_stats"),
    *("compute_query_id", "backtrace_functions"),
)


def run(*statements: str) -> Callable[[psycopg.Connection[Any]], Any]:
    """An attack of plain statements; what the last of them shows."""

    def attack(connection: psycopg.Connection[Any]) -> Any:
        shown = None
        for statement in statements:
            cursor = connection.execute(statement)
            shown = cursor.fetchall() if cursor.description else None
        return shown

    return attack


def copied(connection: psycopg.Connection[Any]) -> str:
    with connection.cursor().copy("copy dim_member to stdout") as copy:
        return b"".join(bytes(part) for part in copy).decode()


def prepared(connection: psycopg.Connection[Any]) -> Any:
    query = "select last_name from dim_member where member_id = %s"
    return connection.execute(query, ["M1"], prepare=True).fetchall()


def streamed(connection: psycopg.Connection[Any]) -> Any:
    with connection.cursor() as cursor:
        return list(cursor.stream("select last_name from dim_member", size=1))


def caught(*statements: str) -> Callable[[psycopg.Connection[Any]], Any]:
    """An attack whose error carries what it saw."""

    def attack(connection: psycopg.Connection[Any]) -> Any:
        with pytest.raises(psycopg.Error) as error:
            run(*statements)(connection)
        return str(error.value)

    return attack


LEAK = (
    "create or replace function pg_temp.leak(text) returns boolean language plpgsql cost 0.0001 "
    "as $$ begin raise notice '%', $1; return true; end $$"
)
READ = "select last_name from dim_member"
RECORDED = {
    "plain": run(READ),
    "table": run("table dim_member"),
    "by its key": run("select last_name from dim_member where member_id = 'M1'"),
    "rolled back": run("begin", READ, "rollback"),
    "rolled back to a savepoint": run("begin", "savepoint s", READ, "rollback to s", "rollback"),
    "copy": copied,
    "copy of a query": lambda c: b"".join(
        bytes(part) for part in c.cursor().copy(f"copy ({READ}) to stdout").__enter__()
    ),
    "cursor": run("begin", f"declare c cursor for {READ}", "fetch 1 from c", "rollback"),
    "cursor with hold": run("begin", f"declare h cursor with hold for {READ}", "commit", "fetch h"),
    "do with concatenated names that raises": caught(
        "do $$ declare v text; begin execute 'select last_name from ' || 'dim_' || 'member' "
        "|| ' where member_id = ''M'' || 1' into v; raise exception '%', v; end $$"
    ),
    "division by what was read": caught(
        "select 1 / length(last_name) - length(last_name) / 0 from dim_member"
    ),
    "cast of what was read": caught(
        "select last_name::integer from dim_member where member_id = 'M1'"
    ),
    "exception block": run(
        "do $$ declare v text; begin begin select last_name into v from dim_member; "
        "raise exception 'x'; exception when others then null; end; end $$"
    ),
    "prepared": prepared,
    "prepared in SQL": run(f"prepare p as {READ}", "execute p"),
    "streamed": streamed,
    "leaky operator": run(LEAK, "select count(*) from dim_member where pg_temp.leak(last_name)"),
    "leaky in a left join": run(
        LEAK,
        "select count(*) from (values (1)) as v (a) "
        "left join dim_member as m on pg_temp.leak(m.last_name)",
    ),
    "own view": run(f"create or replace view ann.v as {READ}", "select * from ann.v"),
    "own materialized view": run(f"create materialized view ann.m as {READ}"),
    "table made of it": run(f"create table ann.t as {READ}"),
    "temporary function": run(
        "create or replace function pg_temp.f() returns setof text language sql "
        f"begin atomic {READ}; end",
        "select * from pg_temp.f()",
    ),
    "explain analyze": run(f"explain (analyze, verbose) {READ}"),
    "parallel": run(
        "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; "
        "set min_parallel_table_scan_size = 0; set debug_parallel_query = on",
        "select max(last_name) from dim_member where length(last_name) > 3",
    ),
    "statement timeout in the middle": caught(
        "set statement_timeout = '300ms'", "select last_name, pg_sleep(5) from dim_member"
    ),
    "without sequential scans": run("set enable_seqscan = off", READ),
    "set role": run("set role aca_analyst_phi", READ),
    "view of current rows": run("select last_name from dim_member_current"),
    "view as is": run("select last_name from dim_member_as_is"),
    "as known function": run("select last_name from dim_member_as_known_at(1)"),
    "as known view": run(
        "select warehouse.as_known_at(1)", "select last_name from as_known.dim_member"
    ),
    "view of current rows as known": run("select last_name from as_known.dim_member_current"),
    "in a sub-select of nothing else": run(f"select exists ({READ} where last_name like 'Q%')"),
    "a union": run(f"select 'x' union all {READ}"),
    "with recursion": run(f"with recursive r as ({READ} union select last_name from r) table r"),
    "a lateral join": run(f"select * from (values (1)) as v (a), lateral ({READ} offset 0) as m"),
    "one row out of many": run(f"{READ} tablesample system (100)"),
    "serializable": run("begin isolation level serializable read only deferrable", READ, "commit"),
    "statistics of its own": run(
        f"create temporary table s as {READ}",
        "analyze s",
        "select most_common_vals from pg_stats where tablename = 's'",
    ),
    **{
        f"set {name}": run(
            f"set {name} = '{value}'".replace("\n", "\\n"),
            f"{READ.replace('dim', 'warehouse.dim')}",
        )
        for name, value in SETTINGS
    },
}

REFUSED = {
    **{f"set {name}": run(f"set {name} = default") for name in LOG_SETTINGS},
    **{
        f"set {name} in a function": run(
            "create or replace function pg_temp.quiet() returns void language plpgsql "
            f"set {name} = default as $$ begin end $$",
            "select pg_temp.quiet()",
        )
        for name in LOG_SETTINGS[:4]
    },
    "its own settings": run("alter role current_user set log_statement = 'none'"),
    "settings of the database": run(
        "do $$ begin execute format('alter database %I set log_statement = none', "
        "current_database()); end $$"
    ),
    "settings of the server": run("alter system set log_statement = 'none'"),
    "statistics by column": run("select most_common_vals from pg_statistic"),
    "row security off": run("set row_security = off", READ),
    "a file of the server": run("select pg_read_file('PG_VERSION')"),
    "the log": run("select pg_ls_logdir()"),
    "a program": run("copy dim_member to program 'cat'"),
    "a server file": run("copy dim_member to '/tmp/looking'"),
    "large object export": run("select lo_export(lo_from_bytea(0, 'x'), '/tmp/looking')"),
    "dblink": run("create extension dblink"),
    "foreign key": run("create table ann.r (member_sk bigint references warehouse.dim_member)"),
    "child of the table": run("create table ann.child () inherits (warehouse.dim_member)"),
    "its own policy": run("create policy p on dim_member using (true)"),
    "no row security": run("alter table dim_member disable row level security"),
    "drop the policy": run("drop policy noted on dim_member"),
    "index with a function": run("create index on dim_member (upper(last_name))"),
    "rows locked": run("select last_name from dim_member for update"),
    "unique violation": run("insert into dim_member select * from dim_member"),
    "the function that notes": run(
        "create or replace function audit.noted(relation text) returns boolean "
        "language sql return true"
    ),
    "a rule": run("create rule r as on select to dim_member do instead select 1"),
    "a trigger": run("create trigger t after insert on dim_member execute function ann.f()"),
    "another login": run("set session authorization aca_owner"),
    "the owner": run("set role aca_owner"),
    "the record": run("delete from audit.look"),
    "replication": run("select pg_create_logical_replication_slot('s', 'pgoutput')"),
}
