"""Wrong input of many kinds, the same at every call, and what a refusal of it must be."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.utils.errors import UserError

HOOKS, _ = plugin_manager()
REGISTRY = Registry(HOOKS)


def cases(number):
    """As many examples, the same ones every time; a folder of the test serves them all."""
    return settings(
        max_examples=number,
        deadline=30_000,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def check_line(line, *named):
    """An error is one line of bounded length, which names one of these."""
    assert len(line.splitlines()) == 1, line
    assert len(line) < 2100
    assert any(name and name in line for name in named), (line, named)


def refused_or(read, *named):
    """Call a reader: it returns, or raises a `UserError` that names one of these; returns the result or None."""
    try:
        return read()
    except UserError as error:
        check_line(str(error), *named)
        return None


@st.composite
def damages(draw):
    """A function that damages bytes: cuts them, changes some, or takes others in their place."""
    kind = draw(st.sampled_from(["cut", "change", "replace", "insert"]))
    if kind == "replace":
        content = draw(st.binary(max_size=64))
        return lambda _: content
    share, noise = draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=9))

    def damage(content):
        at = int(share * len(content))
        if kind == "cut":
            return content[:at]
        return content[:at] + noise + content[at + len(noise) * (kind == "change") :]

    return damage
