"""What the operator asks the API server for: of children, only its own."""

from urllib.parse import parse_qs, urlsplit

from operating import Writes, eventually

from greenroom_operator.kinds import CHILDREN, EXPERIMENT, OPTIONAL, POD
from greenroom_operator.names import CHILD_SELECTOR

SELECTED = {kind.plural for kind in (*CHILDREN, POD) if kind not in OPTIONAL}
READING = ("list", "watch")


class Reads(Writes):
    """Lists and watches of operators in a namespace since this was made."""

    def asked(self):
        """Return verb and resource of each, and the label selectors in its URL."""
        return [
            (
                event["verb"],
                event["objectRef"]["resource"],
                parse_qs(urlsplit(event["requestURI"]).query).get("labelSelector", []),
            )
            for event in self._events()
            if event["verb"] in READING
        ]


def test_the_api_server_picks_the_children_out(make_operator, kubectl, cluster):
    reads = Reads(cluster, kubectl.namespace)
    make_operator().wait_leading()

    wanted = {(verb, kind) for verb in READING for kind in {*SELECTED, EXPERIMENT.plural}}
    seen = eventually(
        reads.asked, lambda asked: wanted <= {(verb, kind) for verb, kind, _ in asked}
    )
    # Otherwise it would be sent every pod and every ConfigMap of a cluster, to throw them away.
    others = (EXPERIMENT.plural, "leases")
    found = [entry for entry in seen if entry[1] not in others]
    assert found == [(verb, kind, [CHILD_SELECTOR]) for verb, kind, _ in found]
