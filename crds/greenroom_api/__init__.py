"""The RLExperiment API: typed models, files, and what is wrong with them.

    from greenroom_api import load_experiment

    experiment = load_experiment("examples/cartpole-dqn.yaml")
    experiment.spec.agent.dqn.learning_rate

Names are camelCase in files and snake_case in Python.
"""

from greenroom_api.agent import Agent, CustomAgent
from greenroom_api.dqn import DQN, Epsilon, PrioritizedReplay
from greenroom_api.environment import Environment, Gymnasium, Wrapper
from greenroom_api.errors import InvalidExperiment, Problem
from greenroom_api.experiment import ExperimentSpec, Metadata, RLExperiment
from greenroom_api.fields import HyperparameterField, agent_fields
from greenroom_api.impala import IMPALA
from greenroom_api.lifecycle import FailurePolicy, ResumeFrom
from greenroom_api.loading import (
    dump_experiment,
    load_experiment,
    parse_experiment,
    parse_section,
)
from greenroom_api.networks import LSTM, MLP, Network
from greenroom_api.replay import Replay, smallest_error_buffer
from greenroom_api.roles import Actors, Checkpoint, Evaluator, Learner, Stop
from greenroom_api.status import Condition, ExperimentStatus
from greenroom_api.storage import CheckpointStorage, ReplayStorage, Storage, size_bytes
from greenroom_api.values import Duration

__all__ = [
    "DQN",
    "IMPALA",
    "LSTM",
    "MLP",
    "Actors",
    "Agent",
    "Checkpoint",
    "CheckpointStorage",
    "Condition",
    "CustomAgent",
    "Duration",
    "Environment",
    "Epsilon",
    "Evaluator",
    "ExperimentSpec",
    "ExperimentStatus",
    "FailurePolicy",
    "Gymnasium",
    "HyperparameterField",
    "InvalidExperiment",
    "Learner",
    "Metadata",
    "Network",
    "PrioritizedReplay",
    "Problem",
    "RLExperiment",
    "Replay",
    "ReplayStorage",
    "ResumeFrom",
    "Stop",
    "Storage",
    "Wrapper",
    "agent_fields",
    "dump_experiment",
    "load_experiment",
    "parse_experiment",
    "parse_section",
    "size_bytes",
    "smallest_error_buffer",
]
