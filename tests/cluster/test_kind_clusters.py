"""Clusters of kind's beside each other, as far as no node is needed."""

import pytest

from e2e.kind import cluster
from e2e.kind.engine import Engine, EngineError


class Standing(Engine):
    """Says that one cluster stands, of one node."""

    def __call__(self, *arguments, seconds=0.0):
        assert arguments[0] == "ps"
        return "greenroom-control-plane greenroom\nother-control-plane other\n"


def test_a_standing_cluster_of_another_size_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "cache", lambda: tmp_path)
    (tmp_path / "kubeconfig").touch()
    with pytest.raises(EngineError, match=r"must have 3 node\(s\).*Got: 1 node"):
        cluster.up(Standing("podman"), workers=2)


def test_down_leaves_the_clusters_of_others_alone(monkeypatch):
    removed = []
    monkeypatch.setattr(cluster, "remove", lambda engine, name: removed.append(name))
    monkeypatch.setattr(
        cluster, "nodes_by_cluster", lambda engine: {"greenroom-nodes": [], "greenrooms": []}
    )
    monkeypatch.setattr(Standing, "__call__", lambda engine, *arguments: "")
    cluster.down(Standing("podman"))
    assert sorted(removed) == ["greenroom", "greenroom-nodes"]
