"""Functions by which a login has a node of a cluster run a text of its own: nobody but who loads.

Nodes ask each other in the name of the person, and where a role may read a table on nodes alone,
such a text would read it past every view. What is taken from everybody is found in the catalog of
each node, and what stays is listed here: a function that another version of Citus brings is taken.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from etl.access.roles import LOADER
from etl.db.statements import run, statement
from etl.errors import ServerError

# Of Citus what everybody keeps: what queries that it sends to nodes are made of, what it calls when
# somebody drops a table of one's own, and what shows, ends or compares without reading a row.
KEPT: Final = (
    # Parts of an aggregate, and rows of a step that the same transaction has taken.
    *("array_cat_agg", "json_cat_agg", "jsonb_cat_agg", "citus_extradata_container"),
    *("citus_json_concatenate", "citus_json_concatenate_final", "citus_text_send_as_jsonb"),
    *("citus_jsonb_concatenate", "citus_jsonb_concatenate_final", "worker_hash"),
    *("coord_binary_combine_agg", "coord_binary_combine_agg_ffunc"),
    *("coord_binary_combine_agg_sfunc", "coord_combine_agg", "coord_combine_agg_ffunc"),
    *("coord_combine_agg_sfunc", "worker_binary_partial_agg", "worker_binary_partial_agg_ffunc"),
    *("worker_partial_agg", "worker_partial_agg_ffunc", "worker_partial_agg_sfunc"),
    *("read_intermediate_result", "read_intermediate_results"),
    # How a node knows the transaction that it has a part in, and hides parts of tables.
    *("assign_distributed_transaction_id", "get_current_transaction_id"),
    *("citus_table_is_visible", "relation_is_a_known_shard"),
    # What follows when a table of one's own goes; each asks who owns it.
    *("citus_drop_trigger", "citus_truncate_trigger", "citus_drop_all_shards"),
    *("master_remove_distributed_table_metadata_from_workers", "master_remove_partition_metadata"),
    *("master_unmark_object_distributed", "notify_constraint_dropped"),
    # One's own sessions, and the version.
    *("citus_backend_gpid", "citus_calculate_gpid", "citus_nodeid_for_gpid", "citus_pid_for_gpid"),
    *("citus_version", "pg_cancel_backend", "pg_terminate_backend"),
    # The type of an instant on all nodes.
    *("cluster_clock_cmp", "cluster_clock_eq", "cluster_clock_ge", "cluster_clock_gt"),
    *("cluster_clock_in", "cluster_clock_le", "cluster_clock_logical", "cluster_clock_lt"),
    *("cluster_clock_ne", "cluster_clock_out", "cluster_clock_recv", "cluster_clock_send"),
    "citus_is_clock_after",
)
# Of PostgreSQL 18 what runs a text, or reads a relation that a text or a number names. Citus sends
# such a call along with the query that it stands in, so workers have none of it for people; on the
# coordinator it reads what the person may.
TAKEN: Final = (
    *("cursor_to_xml", "cursor_to_xmlschema", "database_to_xml", "database_to_xml_and_xmlschema"),
    *("database_to_xmlschema", "query_to_xml", "query_to_xml_and_xmlschema", "query_to_xmlschema"),
    *("schema_to_xml", "schema_to_xml_and_xmlschema", "schema_to_xmlschema", "table_to_xml"),
    *("table_to_xml_and_xmlschema", "table_to_xmlschema", "ts_rewrite", "ts_stat", "currtid2"),
)


def close(connection: psycopg.Connection[Any]) -> bool:
    """Take these functions from everybody on all nodes; whether nobody has any now.

    For a session on the coordinator, which may lack the right: the owner of the functions has it.
    Raises ``ServerError`` where a worker does not answer.
    """
    # Where no loader is, the login loads.
    roles = (LOADER, connection.info.user)
    if not _due(connection, roles):
        return True
    try:
        with connection.transaction():
            run(connection, "server/own_texts.close", **_parts((), roles))
        on_workers(connection, statement("server/own_texts.close", **_parts(TAKEN, roles)))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return are_closed(connection)


def are_closed(connection: psycopg.Connection[Any]) -> bool:
    """Whether nobody but who loads can have a node run a text."""
    return not open_functions(connection)


def open_functions(connection: psycopg.Connection[Any]) -> set[str]:
    """The functions that everybody may still call and should not, of all nodes."""
    return _due(connection)


def _due(connection: psycopg.Connection[Any], roles: tuple[str, ...] = ()) -> set[str]:
    """The same, and those that one of some roles may not call."""
    here = run(connection, "server/own_texts.open_functions", **_parts((), roles)).fetchone()
    asked = statement("server/own_texts.open_functions", **_parts(TAKEN, roles))
    found = (*(here or ()), *on_workers(connection, asked))
    return {name for names in found for name in names.splitlines()}


def on_workers(connection: psycopg.Connection[Any], text: sql.Composable) -> list[str]:
    """Run a statement on every worker; the first value of each, or ``ServerError`` saying why not.

    Each is a transaction of its own.
    """
    asked = {"statement": text.as_string(connection)}
    answers = run(connection, "server/own_texts.on_workers", asked).fetchall()
    for host, port, is_done, answer in answers:
        if not is_done:
            raise ServerError(
                f"The worker {host}:{port} did not do what every node has to: {answer}",
                "Start it, and see its log; then run again.",
            )
    return [answer or "" for *_, answer in answers]


def _parts(taken: tuple[str, ...], roles: tuple[str, ...]) -> dict[str, sql.Composable]:
    lists = {"kept": KEPT, "taken": taken, "roles": roles}
    # An empty list has no type.
    return {name: sql.SQL("{}::text[]").format(list(found)) for name, found in lists.items()}
