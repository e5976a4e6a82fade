"""Checks of public arguments, so that one mistake reads the same everywhere."""

import math
import numbers


def check_positive_integer(name, value):
    """Raise `ValueError` unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_integer_from_zero(name, value):
    """Raise `ValueError` unless `value` is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"`{name}` must be an integer of at least 0. Received: {name}={value!r}")


def check_number(name, value, low=None, high=None):
    """Raise `ValueError` unless `value` is a finite real number in [`low`, `high`]."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or _outside(value, low, high):
        raise ValueError(
            f"`{name}` must be a number{_describe_range(low, high)}. Received: {name}={value!r}"
        )


def check_choice(name, value, choices):
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        accepted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {accepted}. Received: {name}={value!r}")


def check_known(name, arguments, known):
    """Raise `ValueError` if the dict `arguments` has any that are not `known` to class `name`."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no arguments {', '.join(map(repr, unknown))}. Besides those that its "
            f"documentation lists it takes {', '.join(map(repr, known))}."
        )


def check_shape(name, shape, layout):
    """Raise `ValueError` unless `shape` has as many sides as `layout`, as in `"(batch, mels)"`."""
    if len(shape) != layout.count(",") + 1:
        raise ValueError(f"{name} must have shape {layout}. Received: shape={tuple(shape)}")


def as_seed(seed):
    """Return `seed`, `None` or an integer of at least 0, as an int of Python, or `None`."""
    is_integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if seed is not None and not (is_integer and seed >= 0):
        raise ValueError(
            "`seed` must be an integer of at least 0, or None for a random one. "
            f"Received: seed={seed!r}"
        )
    return None if seed is None else int(seed)


def as_pair(name, value):
    """Return `value`, a positive integer or two of them, as a tuple of two."""
    pair = (value, value) if isinstance(value, numbers.Integral) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{name}` must be an integer or a pair of integers (along time, along mel). "
            f"Received: {name}={value!r}"
        )
    for side in pair:
        check_positive_integer(name, side)
    return tuple(int(side) for side in pair)


def _outside(value, low, high):
    return (low is not None and value < low) or (high is not None and value > high)


def _describe_range(low, high):
    if low is not None and high is not None:
        return f" between {low} and {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"
