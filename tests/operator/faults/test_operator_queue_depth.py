"""The metric that tells how many experiments wait."""

from operating import PATIENCE, apply, eventually, ready
from proxy import Hold

DEPTH = "greenroom_operator_queue_depth"
NAMES = ("a", "b", "c", "d")


def test_experiments_that_wait_for_a_worker_are_counted(proxy, make_operator, kubectl):
    flags = ("--no-leader-elect", "--concurrency=1", "--progress-interval=3600")
    operator = make_operator(*flags, kubeconfig=proxy.kubeconfig).wait_leading()
    eventually(lambda: operator.metric(DEPTH), lambda depth: depth == 0)

    # The only worker waits for an answer to the first one's write; so the others wait for it.
    proxy.fault = lambda call: Hold() if call.write else None
    for name in NAMES:
        apply(kubectl, name)
    # Not all but one: a write that is not answered for long is given up, and tried later.
    eventually(lambda: operator.metric(DEPTH), lambda depth: 0 < depth < len(NAMES))

    proxy.fault = lambda call: None
    for name in NAMES:
        ready(kubectl, name)
    eventually(lambda: operator.metric(DEPTH), lambda depth: depth == 0, PATIENCE)
