"""PodSpec and what is in it, as far as ``podTemplate`` is judged at once.

Here stand the names of fields, two levels deep: enough to refuse a misspelt field or a resource
without a quantity at once, and little enough that four of them fit a CustomResourceDefinition.
What is deeper is judged when the operator applies the pods, by the API server that runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from greenroom_api.base import ApiModel, BrokenRule, Validation
from greenroom_api.lists import KeyedBy
from greenroom_api.values import MAX_INT32, Flag, Integer, JsonObject, Text, broken, show

CONTAINER = "worker"
"""The container in which the role runs."""

_OWN_FIELDS = ("command", "args", "ports")

_QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$"


def _quantity(value: Any) -> int | str:
    if isinstance(value, str) and re.fullmatch(_QUANTITY_PATTERN, value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise broken(
        "must be a quantity such as 2, 500m or 8Gi, in quotes where it has a point. "
        f"Got: {show(value)}."
    )


Quantity: TypeAlias = Annotated[
    int | str,
    BeforeValidator(_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maxLength": 32,
            "pattern": _QUANTITY_PATTERN,
        }
    ),
]
Quantities: TypeAlias = Annotated[dict[str, Quantity], Field(max_length=32)]
Strings: TypeAlias = Annotated[dict[str, str], Field(max_length=128)]
Words: TypeAlias = Annotated[
    tuple[Annotated[str, Field(max_length=32_768)], ...], Field(max_length=256)
]
Objects: TypeAlias = Annotated[tuple[JsonObject, ...], Field(max_length=256)]
Number32: TypeAlias = Annotated[Integer, Field(ge=-MAX_INT32 - 1, le=MAX_INT32)]


class PodModel(ApiModel):
    """A part of a pod template; described by Kubernetes, not here."""

    model_config = ConfigDict(validate_by_name=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        handler.resolve_ref_schema(schema).pop("description", None)
        return schema


class Named(PodModel):
    """An object of which only the name is looked at."""

    model_config = ConfigDict(extra="allow")

    name: Text


class Variable(PodModel):
    """EnvVar."""

    name: Text
    value: Annotated[str, Field(max_length=131_072)] | None = None
    value_from: JsonObject | None = None


class VolumeMount(PodModel):
    """VolumeMount."""

    name: Text
    mount_path: Text
    mount_propagation: Text | None = None
    read_only: Flag | None = None
    recursive_read_only: Text | None = None
    sub_path: Text | None = None
    sub_path_expr: Text | None = None


class Toleration(PodModel):
    """Toleration."""

    key: Text | None = None
    operator: Text | None = None
    value: Annotated[str, Field(max_length=253)] | None = None
    effect: Text | None = None
    toleration_seconds: Number32 | None = None


class Resources(PodModel):
    """ResourceRequirements."""

    limits: Quantities | None = None
    requests: Quantities | None = None
    claims: Objects | None = None


class Container(PodModel):
    """Container, for the role's own, sidecars and init containers."""

    name: Text
    args: Words | None = None
    command: Words | None = None
    env: Annotated[tuple[Variable, ...], Field(max_length=512), KeyedBy("name")] | None = None
    env_from: Objects | None = None
    image: Annotated[str, Field(max_length=1_024)] | None = None
    image_pull_policy: Text | None = None
    lifecycle: JsonObject | None = None
    liveness_probe: JsonObject | None = None
    ports: Objects | None = None
    readiness_probe: JsonObject | None = None
    resize_policy: Objects | None = None
    resources: Resources | None = None
    restart_policy: Text | None = None
    restart_policy_rules: Objects | None = None
    security_context: JsonObject | None = None
    startup_probe: JsonObject | None = None
    stdin: Flag | None = None
    stdin_once: Flag | None = None
    termination_message_path: Text | None = None
    termination_message_policy: Text | None = None
    tty: Flag | None = None
    volume_devices: Objects | None = None
    volume_mounts: (
        Annotated[tuple[VolumeMount, ...], Field(max_length=256), KeyedBy("mount_path")] | None
    ) = None
    working_dir: Text | None = None


Containers: TypeAlias = Annotated[tuple[Container, ...], Field(max_length=32), KeyedBy("name")]


class PodSpec(PodModel):
    """PodSpec, without what a workload's pods cannot have."""

    affinity: JsonObject | None = None
    automount_service_account_token: Flag | None = None
    containers: Containers | None = None
    dns_config: JsonObject | None = None
    dns_policy: Text | None = None
    enable_service_links: Flag | None = None
    eviction_responders: Objects | None = None
    host_aliases: Objects | None = None
    host_ipc: Flag | None = Field(default=None, alias="hostIPC")
    host_network: Flag | None = None
    host_pid: Flag | None = Field(default=None, alias="hostPID")
    host_users: Flag | None = None
    hostname: Text | None = None
    hostname_override: Text | None = None
    image_pull_secrets: (
        Annotated[tuple[Named, ...], Field(max_length=64), KeyedBy("name")] | None
    ) = None
    init_containers: Containers | None = None
    node_name: Text | None = None
    node_selector: Strings | None = None
    os: JsonObject | None = None
    overhead: Quantities | None = None
    preemption_policy: Text | None = None
    priority: Number32 | None = None
    priority_class_name: Text | None = None
    readiness_gates: Objects | None = None
    resource_claims: Objects | None = None
    resources: Resources | None = None
    restart_policy: Literal["Always"] | None = None
    runtime_class_name: Text | None = None
    scheduler_name: Text | None = None
    scheduling_gates: Objects | None = None
    scheduling_group: JsonObject | None = None
    security_context: JsonObject | None = None
    service_account: Text | None = None
    service_account_name: Text | None = None
    set_hostname_as_fqdn: Flag | None = Field(default=None, alias="setHostnameAsFQDN")
    share_process_namespace: Flag | None = None
    subdomain: Text | None = None
    termination_grace_period_seconds: Annotated[Integer, Field(ge=0, le=MAX_INT32)] | None = None
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=256)] | None = None
    topology_spread_constraints: Objects | None = None
    volumes: Annotated[tuple[Named, ...], Field(max_length=256), KeyedBy("name")] | None = None

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield what the role's container must not be told, and others that say too little.

        A misspelt name of the role's container makes another one, which lacks an image.
        """
        for index, container in enumerate(fields.get("containers") or ()):
            if container.name != CONTAINER:
                if not container.image:
                    yield BrokenRule(
                        ("containers", index, "image"),
                        f"is required for any container but {CONTAINER}, in which the role runs. "
                        f"Got: nothing, for {container.name}.",
                    )
                continue
            for name in _OWN_FIELDS:
                value = getattr(container, name)
                if value is not None:
                    yield BrokenRule(
                        ("containers", index, name),
                        f"must not be set for container {CONTAINER}: it is Greenroom's own. "
                        f"Got: {show(value)}.",
                    )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rules for the API server."""
        role = f"self.containers.filter(container, container.name == '{CONTAINER}')[0]"
        bare = (
            f"container.name != '{CONTAINER}' && (!has(container.image) || container.image == '')"
        )
        needs_image = Validation(
            f"!has(self.containers) || !self.containers.exists(container, {bare})",
            f"image is required for any container but {CONTAINER}, in which the role runs",
            path=".containers",
            got={"name": f"self.containers.filter(container, {bare})[0].name"},
        )
        own = tuple(
            Validation(
                "!has(self.containers) || self.containers.all(container, "
                f"container.name != '{CONTAINER}' || !has(container.{name}))",
                f"{name} must not be set for container {CONTAINER}: it is Greenroom's own",
                path=".containers",
                # Of objects without a schema, such as ports, CEL can print nothing.
                got=None if name == "ports" else {name: f"{role}.{name}"},
            )
            for name in _OWN_FIELDS
        )
        return (needs_image, *own)
