"""End to end: Helm, kubectl, real pods on real nodes, an agent that learns (`make e2e`)."""
