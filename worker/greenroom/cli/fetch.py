"""``greenroom fetch``: what a run in a cluster has left, to this machine."""

from __future__ import annotations

import shutil
import signal
import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from greenroom.cli.reader_pod import Kubectl


def fetch(
    experiment: Annotated[
        str, typer.Argument(metavar="rlx/NAME", help="The experiment.", show_default=False)
    ],
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Default: that of your kubectl context."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; default ./NAME. Must not be there yet."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the pod may take to start.")
    ] = 300.0,
) -> None:
    """Fetch a run's directory: policy, metrics, checkpoints, logs.

    A small pod mounts the learner's volume, read-only, for as long as it takes. kubectl does
    the work, with your context and rights.

    [bold]greenroom fetch rlx/cartpole[/]
    [bold]greenroom fetch rlx/cartpole -n team-a --to runs/cartpole[/]
    """
    from greenroom.cli.reader_pod import Kubectl, reader_pod

    name = experiment.rpartition("/")[2]
    kind = experiment.rpartition("/")[0]
    if not name or kind not in ("", "rlx", "rlexperiment", "rlexperiments"):
        raise typer.BadParameter(f"What is fetched is rlx/NAME. Got: {experiment}.")
    target = to or Path(name)
    if target.exists():
        raise typer.BadParameter(f"The directory to fetch to must not be there yet. Got: {target}.")

    # As Ctrl-C does, so that the pod is deleted then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kubectl = Kubectl(namespace)
    with reader_pod(kubectl, name, timeout, say=lambda text: typer.echo(text, err=True)) as pod:
        files, size = receive(kubectl, pod, target)
    typer.echo(f"fetched {files} files, {size / 2**20:.1f} MiB, to {target}")


def receive(kubectl: Kubectl, pod: str, target: Path) -> tuple[int, int]:
    """Stream the run's directory out of ``pod``; return the number of files and of bytes.

    It is whole or not there.

    Raises:
        GreenroomError: the stream ends early, or holds what leads out of ``target``.
    """
    from greenroom.cli.reader_pod import RUN_DIRECTORY, last_words
    from greenroom.errors import GreenroomError

    partial = target.with_name(f".{target.name}.fetching")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # tar ends with 1 where a file changed while it was read, as those of a running learner do.
    script = f"tar -cf - -C {RUN_DIRECTORY} . || [ $? = 1 ]"
    command = ["exec", pod, "--container=reader", "--", "sh", "-c", script]
    try:
        with tempfile.TemporaryFile() as errors, kubectl.start(*command, errors=errors) as process:
            assert process.stdout is not None
            failure, files, size = None, 0, 0
            try:
                files, size = unpack(process.stdout, partial)
            except (tarfile.TarError, OSError) as error:
                failure = error
                process.kill()
            ended = process.wait()
            errors.seek(0)
            words = errors.read()
        if failure is not None or ended != 0:
            cause = last_words(words) if words else str(failure)
            raise GreenroomError(f"The volume must be read to its end. Got: {cause}")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files, size


def unpack(stream: IO[bytes], target: Path) -> tuple[int, int]:
    """Unpack a tar stream; return the number of files and of bytes.

    Raises:
        TarError: it is cut, or a member would be written outside ``target``.
    """
    files = size = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            # Refuses absolute paths, "..", links out of the target, devices (PEP 706).
            archive.extract(member, target, filter="data")
            files += member.isfile()
            size += member.size
    return files, size
