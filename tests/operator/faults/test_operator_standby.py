"""What a standby asks for, and when it is ready to take over."""

from operating import apply, eventually, ready
from proxy import Answer

LEADS = "greenroom_operator_is_leader"


def other_calls(proxy):
    """Return all calls that are about no Lease."""
    return [(call.method, call.path) for call in proxy.since(0.0)]


def test_a_standby_asks_for_nothing_but_the_lease(proxy, make_operator, kubectl):
    first = make_operator().wait_leading()
    second = make_operator(kubeconfig=proxy.kubeconfig).wait_ready()
    apply(kubectl, "x")
    ready(kubectl, "x")
    asked = len(proxy.calls)
    eventually(lambda: len(proxy.calls), lambda calls: calls > asked)

    # No list, no watch: one leader's load on the API server is enough.
    assert other_calls(proxy) == []

    # It is the Lease that it waits for, and nothing else.
    first.stop()
    second.wait_leading()
    assert ("GET", f"/api/v1/namespaces/{kubectl.namespace}/pods") in other_calls(proxy)


def test_a_standby_is_ready_while_it_can_read_the_lease(proxy, make_operator):
    def unready():
        answer = second.get("/readyz")
        return answer.status_code, answer.text

    refused = (503, "the Lease cannot be read\n")
    make_operator().wait_leading()
    proxy.fault = lambda call: Answer(503, "ServiceUnavailable") if call.lease else None
    second = make_operator(kubeconfig=proxy.kubeconfig)
    second.wait_logged("the Lease cannot be reached")
    eventually(unready, lambda answer: answer == refused)
    # That is no reason to start it again.
    assert second.get("/healthz").status_code == 200

    proxy.fault = lambda call: None
    eventually(unready, lambda answer: answer == (200, "ready\n"))
    assert second.metric(LEADS) == 0

    # What it could read once says nothing of now.
    proxy.fault = lambda call: Answer(503, "ServiceUnavailable") if call.lease else None
    eventually(unready, lambda answer: answer == refused)
    proxy.fault = lambda call: None
