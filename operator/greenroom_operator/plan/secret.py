"""The secret that the roles of one run share: made once, and never read by the operator."""

from __future__ import annotations

import secrets
from typing import Final

from greenroom_operator import names
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import common_labels, owner_reference

# Random bytes of a token.
BYTES: Final = 32


def token_secret(experiment: Experiment) -> Manifest:
    """Return a Secret with a new random token; it is created, not applied."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.token_name(experiment.name, experiment.uid),
            "namespace": experiment.namespace,
            "labels": common_labels(experiment.name),
            "ownerReferences": [owner_reference(experiment.name, experiment.uid)],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {names.TOKEN_KEY: secrets.token_urlsafe(BYTES)},
    }
