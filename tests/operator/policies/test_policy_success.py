import pytest
from life_tools import progress, saved, seen

from greenroom_operator.policies.success import finished


@pytest.mark.parametrize(
    ("said", "over"),
    [
        (None, False),
        (progress("training", checkpoint=saved(final=False)), False),
        (progress("stopped", checkpoint=saved(final=True)), False),
        (progress("finished"), False),
        (progress("finished", checkpoint=saved(final=False)), False),
        (progress("finished", checkpoint=saved(final=True)), True),
    ],
)
def test_training_is_over_once_the_learner_says_so_and_all_is_saved(said, over):
    assert (
        (finished(seen(progress=said)) is said) if over else finished(seen(progress=said)) is None
    )
