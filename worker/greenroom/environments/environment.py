"""N environments that step together, whatever their autoreset mode."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode, VectorEnv

from greenroom.core import EnvironmentStep, State
from greenroom.environments.autoreset import Episodes, NextStepEpisodes, SameStepEpisodes
from greenroom.environments.checked import CheckedVectorEnv
from greenroom.environments.seeded import SeededEpisodes
from greenroom.errors import EnvironmentSetupError
from greenroom.specs import Array, Tree

EPISODES: dict[AutoresetMode, type[Episodes]] = {
    AutoresetMode.DISABLED: SeededEpisodes,
    AutoresetMode.NEXT_STEP: NextStepEpisodes,
    AutoresetMode.SAME_STEP: SameStepEpisodes,
}


class Environment:
    """A Gymnasium `VectorEnv` with one meaning of a step, checked, seeded and resumable.

    Final observations are true, termination and truncation are apart, and no
    transition joins two episodes, in each of Gymnasium's three autoreset modes:

    >>> import gymnasium
    >>> vector_env = gymnasium.make_vec(
    ...     "CartPole-v1",
    ...     num_envs=2,
    ...     vectorization_mode="sync",
    ...     vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED},
    ... )
    >>> environment = Environment(vector_env, seed=0)
    >>> observation = environment.reset()
    >>> observation.shape
    (2, 4)
    >>> step = environment.step(vector_env.action_space.sample())
    >>> step.reward, step.valid, step.first
    (array([1., 1.], dtype=float32), array([ True,  True]), array([False, False]))
    >>> environment.close()

    Arrays that it hands out are never written to again. Where no episode ended,
    ``next_observation`` and ``observation`` are one and the same.

    In mode DISABLED each episode is reset with a seed of its own, as
    ``reset(seed=[...], options={"reset_mask": mask})``, and episodes in progress can be
    resumed. In the modes that reset themselves ``reset(seed=int)`` is called once, and a
    resumed run begins new episodes.

    Attributes:
        num_envs: N.
        spec: what a single environment takes and gives.
        name: of the part that steps it; seeds are derived from it.
    """

    def __init__(
        self, vector_env: VectorEnv[Any, Any, Any], *, seed: int, name: str = "actor"
    ) -> None:
        """Wrap ``vector_env``, which is this object's own from here on.

        Args:
            vector_env: N environments that declare ``metadata["autoreset_mode"]``.
            seed: the experiment's.
            name: of the part that steps them.

        Raises:
            EnvironmentSetupError: unsupported spaces, or no declared autoreset mode.
        """
        self.num_envs = vector_env.num_envs
        self.name = name
        self._checked = CheckedVectorEnv(vector_env, name)
        self.spec = self._checked.spec
        self._episodes = EPISODES[_autoreset_mode(vector_env)](self._checked, seed, name)

    def reset(self) -> Tree:
        """Begin a new episode in each environment and return its first observation [N, ...].

        What was in progress is abandoned; a second call gives other episodes than the first.

        Raises:
            EnvironmentFault: the environment raised, or broke its contract.
        """
        return self._episodes.start()

    def step(self, action: Tree) -> EnvironmentStep:
        """Step every environment.

        Args:
            action: tree of arrays [N, ...].

        Raises:
            EnvironmentFault: the environment raised, or broke its contract: a reward that
                is no finite number, an observation that does not fit its space.
        """
        return self._episodes.step(action)

    def render(self) -> Any:
        """Return one frame of each environment, as the render mode has it.

        An episode that has ended is gone already: its environment shows the next one.
        """
        return self._checked.vector_env.render()

    @property
    def frames_per_second(self) -> float | None:
        """How fast its frames are to be shown, as the environment declares it."""
        return self._checked.vector_env.metadata.get("render_fps")

    def state(self) -> State:
        """Return what `restore` needs, for a checkpoint; `reset` must have been called."""
        return self._episodes.state()

    def restore(self, state: State) -> tuple[Tree, Array]:
        """Take up the episodes in progress that `state` described.

        Returns:
            The observation to act on next, [N, ...], and [N] bool: which environments are
            where they were. The others begin new episodes, and a warning is logged to
            ``greenroom.environments`` that says why.

        Raises:
            CheckpointMismatch: the state is of other environments.
            EnvironmentFault: the environment raised, or broke its contract.
        """
        return self._episodes.restore(state)

    def close(self) -> None:
        """Release what the environments hold."""
        self._checked.vector_env.close()


def _autoreset_mode(vector_env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    declared = vector_env.metadata.get("autoreset_mode")
    try:
        return AutoresetMode(declared)
    except ValueError as error:
        raise EnvironmentSetupError(
            "A vector environment must declare in metadata['autoreset_mode'] when it resets "
            "itself (a gymnasium.vector.AutoresetMode): a wrong guess would join two episodes. "
            f"Got: {declared!r} from {vector_env}."
        ) from error
