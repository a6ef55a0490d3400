"""``greenroom-operator``: looks after RLExperiments until it is stopped."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

from greenroom_operator.settings import PlanOptions, Settings

PREFIX: Final = "GREENROOM_OPERATOR"
_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_MOST_SECONDS: Final = 86_400.0

app = typer.Typer(
    add_completion=False,
    context_settings={"auto_envvar_prefix": PREFIX, "max_content_width": 100},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command(
    epilog=f"Each option may be given as an environment variable, too: {PREFIX}_WORKER_IMAGE for "
    "--worker-image. Exit status: 0 stopped by a signal, or to be started again since the cluster "
    "came to know PodMonitors or Kueue; 1 failed (the Lease was lost, a right or the CRD is "
    "missing); 2 wrong usage."
)
def operate(
    worker_image: Annotated[
        str, typer.Option(help="Image of learners, actors and evaluators without spec.image.")
    ] = "greenroom/worker:0.1.0",
    replay_image: Annotated[str, typer.Option(help="Image of the Reverb server.")] = (
        "greenroom/replay:0.1.0"
    ),
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            help="Look after experiments of this namespace only; may be repeated (in the "
            "environment: separated by spaces). Without it: of all namespaces.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1024, help="Experiments reconciled at the same time.")
    ] = 16,
    leader_elect: Annotated[
        bool, typer.Option(help="Wait for the Lease, so that several replicas are safe.")
    ] = True,
    lease_name: Annotated[str, typer.Option(help="Name of the Lease.")] = "greenroom-operator",
    lease_namespace: Annotated[
        str | None,
        typer.Option(help="Namespace of the Lease; the pod's own if not set.", show_default=False),
    ] = None,
    http_host: Annotated[
        str, typer.Option(help="Address of /healthz, /readyz and /metrics.")
    ] = "127.0.0.1",
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Their port; 0 takes a free one.")
    ] = 8080,
    log_format: Annotated[str, typer.Option(help="text, or json for programs.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    progress_interval: Annotated[
        float,
        typer.Option(min=1.0, max=3600.0, help="Seconds between questions to a learner."),
    ] = 15.0,
    progress_via: Annotated[
        str,
        typer.Option(
            help="pods: ask a learner's pod itself. proxy: through the API server, from where "
            "pods are out of reach. auto: pods inside a cluster, else proxy."
        ),
    ] = "auto",
    resync_interval: Annotated[
        float,
        typer.Option(
            min=10.0, max=_MOST_SECONDS, help="Seconds between comparisons with the cluster."
        ),
    ] = 600.0,
    pod_disruption_budgets: Annotated[bool, typer.Option(help="Make PodDisruptionBudgets.")] = True,
    network_policies: Annotated[bool, typer.Option(help="Make NetworkPolicies.")] = True,
    pod_monitors: Annotated[
        bool, typer.Option(help="Make PodMonitors, if the cluster knows them.")
    ] = True,
    queueing: Annotated[
        bool,
        typer.Option(
            help="Have experiments wait that name a queue of Kueue's, if the cluster knows it. "
            "Without it they never start."
        ),
    ] = True,
) -> None:
    """Look after RLExperiments: make what they ask for, keep it so, and tell how they do.

    Connects as kubectl would: inside a pod by its ServiceAccount, else by $KUBECONFIG or
    ~/.kube/config.
    """
    import uvloop

    from greenroom_operator.errors import OperatorError
    from greenroom_operator.logs import log_to_stderr
    from greenroom_operator.running import run

    level = _one_of(log_level.lower(), "--log-level", "debug", "info", "warning", "error")
    form = _one_of(log_format, "--log-format", "text", "json")
    log_to_stderr(level, "json" if form == "json" else "text")
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    via = _one_of(progress_via, "--progress-via", "auto", "pods", "proxy")
    settings = Settings(
        plan=PlanOptions(
            worker_image=worker_image,
            replay_image=replay_image,
            pod_disruption_budgets=pod_disruption_budgets,
            network_policies=network_policies,
            pod_monitors=pod_monitors,
            queueing=queueing,
        ),
        namespaces=tuple(namespace or ()),
        concurrency=concurrency,
        leader_elect=leader_elect,
        lease_name=lease_name,
        lease_namespace=lease_namespace or _own_namespace(),
        identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
        http_host=http_host,
        http_port=http_port,
        progress_seconds=progress_interval,
        progress_via="pods" if via == "pods" or (via == "auto" and inside) else "proxy",
        resync_seconds=resync_interval,
    )
    try:
        uvloop.run(run(settings))
    except OperatorError as error:
        logging.getLogger(__name__).error("%s", error)
        raise typer.Exit(1) from error


def _one_of(value: str, option: str, *choices: str) -> str:
    if value not in choices:
        raise typer.BadParameter(
            f"must be one of {', '.join(choices)}. Got: {value}.", param_hint=option
        )
    return value


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
