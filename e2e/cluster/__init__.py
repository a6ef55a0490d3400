"""A real Kubernetes control plane as processes, for tests and benchmarks.

python -m e2e.cluster up --nodes 3

`control_plane.py` starts it, `kwok.py` simulates nodes and pods, `node_agent.py` runs pods as
processes, `fixtures.py` has pytest's fixtures, `binaries.py` builds what all of it needs.
"""
