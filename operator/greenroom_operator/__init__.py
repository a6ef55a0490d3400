"""The Kubernetes operator of Greenroom."""
