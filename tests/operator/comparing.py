"""What children are like, compared: what of them differs, whoever wrote it and whenever."""

METADATA_OF_NOW = {
    *("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"),
}


def specs(found):
    """Return what a child is like, apart from who says so."""
    return {
        key: {
            name: {k: v for k, v in value.items() if k not in METADATA_OF_NOW}
            if name == "metadata"
            else value
            for name, value in child.items()
            if name != "status"
        }
        for key, child in found.items()
    }


def differences(before, now):
    """Return what of each child differs, before and now, by its path."""
    old, new = (dict(leaves(found)) for found in (before, specs(now)))
    return {
        path: (old.get(path), new.get(path))
        for path in old.keys() | new.keys()
        if old.get(path) != new.get(path)
    }


def leaves(value, path=()):
    """Yield the path and value of everything that is neither an object nor a list.

    Deployments count how often they were rolled, which is no part of what they are like.
    """
    if path[-1:] == ("deployment.kubernetes.io/revision",):
        return
    items = enumerate(value) if isinstance(value, list) else None
    if isinstance(value, dict):
        items = value.items()
    if items is None or not value:
        yield path, value
        return
    for name, item in items:
        yield from leaves(item, (*path, name))
