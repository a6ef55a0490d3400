"""What `helm test` runs: the operator must be ready, and RLExperiments must be served."""

import os
import urllib.request
from typing import Any

from kubernetes import client, config

url = os.environ["OPERATOR_URL"] + "/readyz"
with urllib.request.urlopen(url, timeout=30) as answer:
    print(f"{url}: {answer.status} {answer.read().decode().strip()}")

# In the cluster by the pod's service account.
config.load_config()
experiments: Any = client.CustomObjectsApi().list_namespaced_custom_object(
    "greenroom.dev", "v1alpha1", os.environ["NAMESPACE"], "rlexperiments", limit=1
)
print(f"the API server serves {experiments['kind']}")
