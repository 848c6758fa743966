"""What many tests say in the same words."""

from inspect import unwrap

import pytest


def refused(match, function, *args, error=ValueError, **kwargs):
    """The door itself: past the annotations, which the gate checks before the function is entered."""
    with pytest.raises(error, match=match):
        unwrap(function)(*args, **kwargs)
