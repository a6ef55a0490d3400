"""The dashboard of one experiment."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.dashboards.panels import (
    BYTES,
    FROM_NOW,
    PER_SECOND,
    SECONDS,
    SHARE,
    Query,
    figure,
    make_dashboard,
    series,
    variable,
)

# What a PodMonitor makes of the pods' namespace and of their label greenroom.dev/experiment.
EXPERIMENT = 'namespace="$namespace", greenroom_dev_experiment="$experiment"'
BY_ROLE = "{{greenroom_dev_role}} {{pod}}"


def of(metric: str, matchers: str = "") -> str:
    """Return a selector of the experiment's series of a metric."""
    return f"{metric}{{{EXPERIMENT}{', ' if matchers else ''}{matchers}}}"


def rate(metric: str, matchers: str = "") -> str:
    """Return the rate of a counter of the experiment."""
    return f"rate({of(metric, matchers)}[$__rate_interval])"


def experiment_dashboard() -> Dashboard:
    """Return it."""
    return make_dashboard(
        "Greenroom / Experiment",
        "greenroom-experiment",
        "How one RLExperiment learns, which side holds it up, and how its processes are.",
        variables=[
            variable(
                "namespace", "label_values(greenroom_environment_steps_total, namespace)",
                "Namespace",
            ),
            variable(
                "experiment",
                'label_values(greenroom_environment_steps_total{namespace="$namespace"}, '
                "greenroom_dev_experiment)",
                "Experiment",
            ),
        ],
        rows={
            "Now": _NOW,
            "Learning": _LEARNING,
            "Rate limiter": _LIMITER,
            "Actors": _ACTORS,
            "Processes and checkpoints": _PROCESSES,
        },
    )  # fmt: skip


_NOW = [
    figure(
        "State",
        "What the learner says of itself.",
        Query(f"{of('greenroom_learner_state')} == 1", "{{state}}"),
        name=True,
    ),
    figure(
        "Return",
        "Mean return of the newest evaluation: greedy episodes.",
        Query(of("greenroom_episode_return")),
    ),
    figure(
        "Environment steps",
        "Transitions that all actors have reported, over all restarts.",
        Query(of("greenroom_environment_steps_total")),
    ),
    figure(
        "Learner steps",
        "Gradient steps. They fall to the newest checkpoint's when a learner was killed.",
        Query(of("greenroom_learner_steps_total")),
    ),
    figure(
        "Bottleneck",
        "The side that the other one waits for, by the last 10 seconds.",
        Query(f"{of('greenroom_bottleneck')} == 1", "{{side}}"),
        name=True,
    ),
    figure(
        "Samples per insert",
        "How often an inserted item is sampled on average.",
        Query(of("greenroom_samples_per_insert")),
    ),
    figure(
        "Actors reporting",
        "Actors that the learner has heard of within 10 seconds.",
        Query(of("greenroom_actors_reporting")),
    ),
    figure(
        "Newest checkpoint",
        "When the learner wrote it.",
        Query(f"{of('greenroom_learner_checkpoint_timestamp_seconds')} * 1000"),
        unit=FROM_NOW,
    ),
]

_LEARNING = [
    series(
        "Return",
        "Of evaluations: greedy episodes. Of training: the newest 100 episodes, exploration "
        "included.",
        Query(of("greenroom_episode_return"), "evaluation"),
        Query(of("greenroom_training_return"), "training"),
    ),
    series(
        "Steps per second",
        "Of the last 10 seconds.",
        Query(of("greenroom_environment_steps_per_second"), "environment"),
        Query(of("greenroom_learner_steps_per_second"), "learner"),
        unit=PER_SECOND,
    ),
    series(
        "Losses and the agent's other numbers",
        "What the agent logs, as means.",
        Query(of("greenroom_agent_metric"), "{{metric}}"),
    ),
]

_PER_INSERT = of("greenroom_replay_limiter_samples_per_insert")
_INSERTS = of("greenroom_replay_inserts_total")
_LIMITER = [
    series(
        "Samples per insert and its band",
        "Above the band samples wait for inserts: acting is too slow. Below it inserts wait: "
        "learning is.",
        Query(f"{of('greenroom_replay_samples_total')} / {_INSERTS}", "{{table}}"),
        Query(f"{_PER_INSERT}", "{{table}} wanted"),
        Query(
            f"{_PER_INSERT} - {of('greenroom_replay_limiter_max_diff')} / {_INSERTS}",
            "{{table}} least",
        ),
        Query(
            f"{_PER_INSERT} - {of('greenroom_replay_limiter_min_diff')} / {_INSERTS}",
            "{{table}} most",
        ),
    ),
    series(
        "How busy each side is",
        "The rest of the time it waits for the limiter, or for what the limiter holds back. The "
        "busier side is the bottleneck.",
        Query(f"1 - {rate('greenroom_learner_waiting_seconds_total')}", "learner"),
        Query(
            f"{rate('greenroom_actors_acting_seconds_total')} / "
            f"({rate('greenroom_actors_acting_seconds_total')} + "
            f"{rate('greenroom_actors_waiting_seconds_total')})",
            "actors",
        ),
        unit=SHARE,
    ),
    series(
        "What the tables do",
        "Time of each table's worker. waiting_for_sampling: inserts are held back; "
        "waiting_for_inserts: samples are.",
        Query(rate("greenroom_replay_worker_seconds_total"), "{{table}} {{state}}"),
        unit=SHARE,
    ),
    series(
        "Items in the tables",
        "And how many each holds at most.",
        Query(of("greenroom_replay_items"), "{{table}}"),
        Query(of("greenroom_replay_max_items"), "{{table}} at most"),
        Query(of("greenroom_replay_limiter_min_items"), "{{table}} before the first sample"),
    ),
    series(
        "Inserts and samples",
        "Items per second.",
        Query(rate("greenroom_replay_inserts_total"), "{{table}} inserts"),
        Query(rate("greenroom_replay_samples_total"), "{{table}} samples"),
        unit=PER_SECOND,
    ),
    series(
        "Paid for and not taken",
        "Samples that inserts have paid for. At its upper bound inserts wait, at its lower one "
        "samples do.",
        Query(of("greenroom_replay_limiter_diff"), "{{table}}"),
        Query(of("greenroom_replay_limiter_max_diff"), "{{table}} inserts wait"),
        Query(of("greenroom_replay_limiter_min_diff"), "{{table}} samples wait"),
    ),
]

_ACTORS = [
    series(
        "Steps of each actor",
        "Environment steps per second.",
        Query(rate("greenroom_actor_environment_steps_total"), "{{pod}}"),
        unit=PER_SECOND,
    ),
    series(
        "Share of waiting",
        "Time that the rate limiter holds each actor back.",
        Query(rate("greenroom_actor_waiting_seconds_total"), "{{pod}}"),
        unit=SHARE,
    ),
    series(
        "How far parameters are behind",
        "Learner steps between the learner and the parameters that an actor acts with.",
        Query(
            f"clamp_min(scalar(max({of('greenroom_learner_steps_total')})) - "
            f"{of('greenroom_actor_variables_version')}, 0)",
            "{{pod}}",
        ),
    ),
    series(
        "Silence of the learner",
        "Time since the learner last told each actor which parameters are the newest.",
        Query(of("greenroom_actor_variables_age_seconds"), "{{pod}}"),
        unit=SECONDS,
    ),
    series(
        "Items on their way",
        "Items that replay has not confirmed to each actor.",
        Query(of("greenroom_actor_pending_items"), "{{pod}}"),
    ),
    series(
        "Lost on the way",
        "Items that actors could not hand over before they left, and batches whose new "
        "priorities replay did not take in time.",
        Query(of("greenroom_actors_dropped_items_total"), "items"),
        Query(of("greenroom_learner_lost_priority_updates_total"), "priority updates"),
    ),
]

_PROCESSES = [
    series(
        "Age of checkpoints",
        "Time since the newest was written; it is to fall every spec.checkpoint.interval.",
        Query(f"time() - {of('greenroom_learner_checkpoint_timestamp_seconds')}", "learner"),
        Query(f"time() - ({of('greenroom_replay_checkpoint_timestamp_seconds')} > 0)", "replay"),
        unit=SECONDS,
    ),
    series(
        "Time that replay's checkpoint took",
        "Of the newest. Inserts and samples wait meanwhile.",
        Query(of("greenroom_replay_checkpoint_duration_seconds"), "duration"),
        unit=SECONDS,
    ),
    series(
        "Starts",
        "Processes that started within an hour, first starts included.",
        Query(f"changes({of('process_start_time_seconds')}[1h]) + 1", BY_ROLE),
    ),
    series(
        "Ready",
        "1 while the role does what it is for.",
        Query(of("greenroom_role_ready"), BY_ROLE),
    ),
    series(
        "CPU",
        "Cores in use.",
        Query(rate("process_cpu_seconds_total"), BY_ROLE),
    ),
    series(
        "Memory",
        "Resident.",
        Query(of("process_resident_memory_bytes"), BY_ROLE),
        unit=BYTES,
    ),
    series(
        "Evaluations",
        "Share of its time that the evaluator plays.",
        Query(rate("greenroom_evaluator_playing_seconds_total"), "playing"),
        unit=SHARE,
    ),
    series(
        "Log that was lost",
        "Bytes of logs that never reached the learner's volume.",
        Query(of("greenroom_log_dropped_bytes_total"), BY_ROLE),
        unit=BYTES,
    ),
]
