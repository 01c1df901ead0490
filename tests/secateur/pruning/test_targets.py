"""How a target is written: its units, what is a fraction, and what nobody can ask for."""

import pytest

from secateur.pruning.targets import Target, read_target
from secateur.utils.errors import UserError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("latency=2s", 2),
        ("latency=2ms", 0.002),
        ("latency=2us", 0.000002),
        ("latency=2µs", 0.000002),
        ("bytes=3B", 3),
        ("bytes=3kB", 3_000),
        ("bytes=3MB", 3_000_000),
        ("bytes=3GB", 3_000_000_000),
        ("bytes=3KiB", 3_072),
        ("bytes=3MiB", 3_145_728),
        ("bytes=3GiB", 3_221_225_472),
        ("flops=5k", 5_000),
        ("flops=5M", 5_000_000),
        ("flops=5G", 5_000_000_000),
        ("flops=5T", 5_000_000_000_000),
        ("params=7k", 7_000),
        ("params=7M", 7_000_000),
        ("params=7G", 7_000_000_000),
        ("params=0.5k", 500),
        ("params=1.5", 1.5),
    ],
)
def test_an_amount_with_a_unit_or_above_one_is_one_of_its_own(text, amount):
    found = read_target(text)
    assert (found.text, found.what, found.relative, found.images) == (text, text.partition("=")[0], False, 1)
    assert found.amount == pytest.approx(amount, rel=1e-12)


@pytest.mark.parametrize("what", ["latency", "bytes", "flops", "params"])
def test_an_amount_of_at_most_one_without_a_unit_is_a_fraction(what):
    assert read_target(f"{what}=1") == Target(f"{what}=1", what, 1.0, True, 1)
    assert read_target(f"{what}=.25") == Target(f"{what}=.25", what, 0.25, True, 1)


def test_latency_is_named_with_the_images_that_it_is_of():
    names = [read_target(text).name for text in ("latency=0.5", "latency=3ms@64", "latency=0.5@1", "flops=1M")]
    assert names == ["latency@1", "latency@64", "latency@1", "flops"]
    assert Target("params=1", "params", 1.0, True).images == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency=3k", "latency has no unit 'k': there is ms, s, us, µs"),
        ("params=3T", "params has no unit 'T': there is G, M, k"),
        ("latency=1.5", "give a fraction of the latency, or a time, as 3ms"),
        ("latency=3@8", "give a fraction of the latency, or a time, as 3ms"),
        ("flops=0.3@64", "@64 is for latency, of a batch of 64"),
        ("params=3M@0", "@0 is for latency, of a batch of 0"),
        ("params=0", "nothing takes so little"),
        ("bytes=0.0", "nothing takes so little"),
        ("latency=0ms@4", "nothing takes so little"),
        ("latency=3ms@0", "nothing takes so little"),
    ],
)
def test_what_nobody_can_ask_for_is_one_line(text, message):
    with pytest.raises(UserError) as error:
        read_target(text)
    assert str(error.value) == f"--target {text}: {message}"
