"""Names of other projects: prefixes that are left out, and tensors that are taken in order where names differ."""

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.runs.external_names import INSERTED, match_names, order_conflict, pair_in_order
from secateur.runs.external_weights import load_external
from secateur.utils.errors import UserError


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def numbered(of):
    """The state of a network with 0, 1, 2, ... over all of its tensors."""
    state, start = {}, 0
    for name, tensor in of.state_dict().items():
        state[name] = torch.arange(start, start + tensor.numel()).reshape(tensor.shape).to(tensor.dtype)
        start += tensor.numel()
    return state


def load(path, state, into, *, partial=False):
    """Save a state and load it into a network; returns the lines."""
    safetensors.torch.save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return load_external(path, into, partial=partial)


def refusal(path, state, into, **options):
    """The line by which a state is refused."""
    with pytest.raises(UserError) as caught:
        load(path, state, into, **options)
    return str(caught.value)


def assert_holds(loaded, state):
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("model.", "model."),
        ("net.", "net."),
        ("network.", "network."),
        ("backbone.encoder.", "backbone.encoder."),
        ("module.", None),
        ("_orig_mod.module.", None),
        ("model._orig_mod.", "model."),
        ("module.model._orig_mod.net.", "model.net."),
        ("_orig_mod.network.module.module.", "network."),
    ],
)
def test_a_prefix_of_all_names_is_left_out_and_told_unless_a_wrapper_of_torch_put_it_there(tmp_path, prefix, told):
    path, fresh = tmp_path / "other.ckpt", network()
    lines = load(path, {prefix + name: tensor for name, tensor in numbered(fresh).items()}, fresh)
    said = [f"names in other.ckpt were read without their prefix {told}"] if told else []
    assert lines == [f"9 of 9 tensors loaded from {path}", *said]
    assert_holds(fresh, numbered(fresh))


def test_what_lightning_keeps_beside_the_network_is_unknown(tmp_path):
    path, fresh = tmp_path / "epoch=3.ckpt", network()
    state = {f"model.{name}": tensor for name, tensor in numbered(fresh).items()}
    assert load(path, {"loss.weight": torch.ones(2), **state, "accuracy.correct": torch.tensor(7)}, fresh) == [
        f"9 of 9 tensors loaded from {path}",
        "names in epoch=3.ckpt were read without their prefix model.",
        "unknown in epoch=3.ckpt, not loaded: 2 (loss.weight, accuracy.correct)",
    ]
    assert_holds(fresh, numbered(fresh))


@pytest.mark.parametrize("name", ["model", "net", "module", "_orig_mod"])
@pytest.mark.parametrize("prefix", ["", "model.", "net.", "module.", "_orig_mod."])
def test_a_submodule_of_such_a_name_is_kept(tmp_path, name, prefix):
    fresh = nn.Sequential()
    fresh.add_module(name, network())
    fresh.add_module("head", nn.Linear(2, 2))
    state = numbered(fresh)
    load(tmp_path / "other.pth", {prefix + key: tensor for key, tensor in state.items()}, fresh)
    assert_holds(fresh, state)


def test_wrappers_around_submodules_are_left_out(tmp_path):
    fresh = nn.Sequential()
    fresh.add_module("features", network())
    fresh.add_module("classifier", nn.Linear(2, 2))
    state = {name.replace("features.", "features.module."): tensor for name, tensor in numbered(fresh).items()}
    assert load(tmp_path / "other.pth", state, fresh) == [f"11 of 11 tensors loaded from {tmp_path / 'other.pth'}"]
    assert_holds(fresh, numbered(fresh))


def test_two_networks_that_fit_equally_well_are_refused_and_one_under_two_names_is_loaded(tmp_path):
    path, fresh = tmp_path / "other.ckpt", network()
    state = numbered(fresh)
    student = {f"student.{name}": tensor for name, tensor in state.items()}
    teacher = {f"teacher.{name}": tensor + 1 for name, tensor in state.items()}
    for partial in (False, True):
        assert refusal(path, student | teacher, fresh, partial=partial) == (
            f"--checkpoint_model {path} holds several networks that fit equally well, by the prefixes of their names "
            "(student., teacher.): save the weights of one alone by torch.save(network.state_dict(), file)"
        )
    load(path, state | teacher, fresh)
    assert_holds(fresh, state)
    again = {f"wrapped.{name}": tensor for name, tensor in student.items()}
    load(path, student | again, fresh)
    assert_holds(fresh, state)


def test_a_network_beside_its_wrapped_copy_is_loaded_by_its_own_names(tmp_path):
    path, fresh = tmp_path / "other.pth", network()
    state = numbered(fresh)
    copy = {f"module.{name}": tensor + 1 for name, tensor in state.items()}
    assert load(path, copy | state, fresh)[1:] == [
        "unknown in other.pth, not loaded: 9 (module.0.weight, module.0.bias, module.1.weight and 6 more)"
    ]
    assert_holds(fresh, state)


def test_tensors_of_another_shape_are_named_under_a_prefix_too(tmp_path):
    state = {"model.weight": torch.ones(4, 3), "model.bias": torch.ones(4), "loss.bias": torch.ones(1)}
    line = refusal(tmp_path / "other.ckpt", state, nn.Linear(3, 2))
    assert (
        "0 of 2 tensors fit; 2 of another shape (weight (4, 3), here (2, 3), bias (4,), here (2,)); 1 unknown" in line
    )


PARTS = st.sampled_from(["model", "net", "0", "2", "weight", "backbone", "a b", "é", *sorted(INSERTED)])


@given(
    prefix=st.lists(PARTS, max_size=4),
    inserted=st.lists(st.sampled_from(sorted(INSERTED)), max_size=2),
    suffixes=st.lists(st.sampled_from(["scale", "w", "correct", "total"]), unique=True),
    first=st.booleans(),
)
def test_under_any_prefix_and_beside_any_other_tensors_the_network_is_found(prefix, inserted, suffixes, first):
    own = numbered(network())
    renamed = {name: ".".join([*prefix, *inserted, name]) for name in own}
    state = {renamed[name]: tensor for name, tensor in own.items()}
    others = {".".join(["loss", *prefix, suffix]): torch.zeros(4) for suffix in suffixes}
    match = match_names(others | state if first else state | others, own)
    assert match.sources == renamed
    assert len(match.prefixes) == 1


def test_where_names_differ_tensors_are_taken_in_order_and_this_is_told(tmp_path):
    path, fresh = tmp_path / "other.pth", network()
    state = dict(zip((f"t{number}.x" for number in range(9)), numbered(fresh).values(), strict=True))
    counter = next(name for name, tensor in state.items() if tensor.ndim == 0)
    state["norm.num_batches_tracked"] = state.pop(counter)  # stands at the end, and is passed over
    assert load(path, state, fresh) == [
        f"8 of 9 tensors loaded from {path}",
        "names differ; 8 tensors were matched in order, since all shapes agree: t0.x -> 0.weight, t1.x -> 0.bias, "
        "t2.x -> 1.weight and 5 more",
    ]
    assert_holds(fresh, numbered(fresh) | {"1.num_batches_tracked": torch.tensor(0)})


def test_names_that_fit_do_not_forbid_the_order_where_they_stand_at_their_place(tmp_path):
    fresh = network()
    renamed = {name.replace("2.", "fc."): tensor for name, tensor in numbered(fresh).items()}
    lines = load(tmp_path / "other.pth", renamed, fresh)
    assert "names differ; 8 tensors were matched in order" in lines[1]
    assert torch.equal(fresh[2].weight, renamed["fc.weight"])


def square(*names):
    return {name: torch.full((2, 2), float(number)) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (square("a.weight"), "counts of batches aside, it holds 1 tensors, the network 2"),
        (square("a.weight", "b.weight", "c.weight"), "counts of batches aside, it holds 3 tensors, the network 2"),
        (square("a.weight") | {"b.weight": torch.ones(4)}, "b.weight is (4,), and 1.weight here (2, 2)"),
        (square("a.num_batches_tracked"), "counts of batches aside, it holds 0 tensors, the network 2"),
        (square("a.weight", "b.weight_orig"), "b.weight_orig stands in the place of 1.weight"),
        (square("a.weight", "b.weight_mask"), "b.weight_mask stands in the place of 1.weight"),
    ],
)
def test_what_does_not_agree_in_order_is_refused_with_the_reason(tmp_path, state, reason):
    into = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    before = {name: tensor.clone() for name, tensor in into.state_dict().items()}
    line = refusal(tmp_path / "other.pth", state, into)
    assert "is of another network: 0 of 2 tensors fit; 2 missing (0.weight, 1.weight); " in line
    assert line.endswith(f"; not matched in order either: {reason}")
    assert_holds(into, before)


def test_names_that_speak_against_the_order_win(tmp_path):
    into = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    for names in (("b.weight", "0.weight"), ("1.weight", "b.weight")):
        line = refusal(tmp_path / "other.pth", square(*names), into)
        assert line.endswith("; --partial_checkpoint loads what fits")
    norm = nn.BatchNorm1d(2)
    names = ("bn.bias", "bn.weight", "bn.running_mean", "bn.running_var")
    assert order_conflict({name: torch.ones(2) for name in names}, norm.state_dict(), {}) == (
        "bn.bias stands in the place of weight"
    )


def test_partial_loading_goes_by_names_alone_and_safetensors_have_no_order(tmp_path):
    into = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    line = refusal(tmp_path / "other.pth", square("a.weight", "b.weight"), into, partial=True)
    assert line.endswith("not matched in order either: --partial_checkpoint matches by name only")
    line = refusal(tmp_path / "other.safetensors", square("a.weight", "b.weight"), into)
    assert line.endswith("not matched in order either: a safetensors file sorts them by name")
    before = into[1].weight.clone()
    load(tmp_path / "other.pth", square("0.weight", "b.weight"), into, partial=True)
    assert torch.equal(into[0].weight, torch.zeros(2, 2))
    assert torch.equal(into[1].weight, before)


SHAPES = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=6)


@given(own_shapes=SHAPES, shapes=SHAPES)
def test_the_order_holds_exactly_where_all_shapes_agree(own_shapes, shapes):
    own = {f"{number}.weight": torch.zeros(shape) for number, shape in enumerate(own_shapes)}
    state = {f"layer{number}.weight": torch.zeros(shape) for number, shape in enumerate(shapes)}
    assert (order_conflict(state, own, {}) == "") == (own_shapes == shapes)
    if own_shapes == shapes:
        assert pair_in_order(state, own) == dict(zip(own, state, strict=True))
