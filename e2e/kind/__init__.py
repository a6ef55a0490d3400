"""A Kubernetes with real nodes, by kind: containers of Docker, or of podman, are its nodes."""
