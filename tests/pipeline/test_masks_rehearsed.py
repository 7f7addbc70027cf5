"""Masks in the layout of a cluster, rehearsed on one server that is its own worker."""

from __future__ import annotations

from etl.server import own_texts
from tests.support.rehearsed import FIRST
from tests.support.warehouse import Warehouse


def test_run_takes_from_everybody_what_has_a_node_run_a_text(on_cluster: Warehouse) -> None:
    assert own_texts.open_functions(on_cluster.connection)
    batch, feeds = FIRST
    on_cluster.send(batch, **feeds)
    on_cluster.rebuild(reject_share=1.0)
    assert not own_texts.open_functions(on_cluster.connection)
