"""From which size on tensors are packed, by which mask, and what a record may say of them."""

import json
import re

import pytest
import torch

from secateur.runs.tensor_file import pack, unpack


def with_ones(number, size=1600, dtype=torch.float32):
    """A tensor whose first numbers are 1, and all others 0."""
    tensor = torch.zeros(size, dtype=dtype)
    tensor[:number] = 1
    return tensor


def names(tensors):
    return list(pack(tensors)[0])


@pytest.mark.parametrize(("size", "packed"), [(4095, ["m"]), (4096, ["m/bits"])])
def test_a_mask_of_so_many_bytes_is_packed(size, packed):
    assert names({"m": torch.ones(size, dtype=torch.bool)}) == packed


@pytest.mark.parametrize(
    ("number", "dtype", "packed"),
    [
        # 6,400 bytes less 4 a value and 200 of bits: 4,096 and 4,092 are saved
        (526, torch.float32, ["x/bits", "x/values"]),
        (527, torch.float32, ["x"]),
        # of 12,800 bytes 4,096 and 4,088
        (1063, torch.float64, ["x/bits", "x/values"]),
        (1064, torch.float64, ["x"]),
        (0, torch.int32, ["x"]),
        (0, torch.float16, ["x"]),
    ],
)
def test_numbers_are_packed_where_that_saves_four_kibibytes(number, dtype, packed):
    assert names({"x": with_ones(number, dtype=dtype)}) == packed


@pytest.mark.parametrize(("number", "packed"), [(576, True), (577, False)])
def test_under_a_mask_that_is_there_the_values_alone_count(number, packed):
    tensors = {"x": with_ones(3), "m": with_ones(number, dtype=torch.bool), "fill": torch.ones(3)}
    # a mask of 1,600 bytes is written as it is, and no pattern for others
    assert names(tensors) == ["m", "x/bits", "x/values", "fill"]
    tensors = {"x": with_ones(3, 4096), "m": with_ones(4096 - 1024 + 1 - packed, 4096, torch.bool)}
    written, head = pack(tensors)
    # of 16,384 bytes 4 a place of the mask: 4,096 are saved by 3,072 places, and 4,092 by one more
    assert list(written) == (["m/bits", "x/values"] if packed else ["m/bits", "x"])
    assert ("x" in json.loads(head["packed"])) == packed


def test_of_several_masks_that_fit_the_smallest_is_taken_and_one_that_does_not_is_not():
    masks = {name: with_ones(number, 4096, torch.bool) for name, number in (("large", 900), ("small", 100), ("no", 9))}
    masks["turned"] = with_ones(20, 4096, torch.bool).view(2, 2048)
    written, head = pack(
        {"x": with_ones(10, 4096), **masks, "y": 2 * with_ones(101, 4096), "n": with_ones(10, 4096).flip(0)}
    )
    record = json.loads(head["packed"])
    assert {name: entry["bits"] for name, entry in record.items()} == {
        **{name: f"{name}/bits" for name in ("large", "small", "no", "turned")},
        **{"x": "small/bits", "y": "large/bits", "n": "n/bits"},
    }
    assert record["turned"]["shape"] == [2, 2048]
    assert {name: len(written[f"{name}/values"]) for name in "xyn"} == {"x": 100, "y": 900, "n": 10}
    assert written["y/values"].tolist() == [2.0] * 101 + [0.0] * 799
    assert written["no/bits"][:3].tolist() == [255, 128, 0]


BITS = torch.tensor([0b10100000], dtype=torch.uint8)


def unpacked(entries, **tensors):
    """What a record says of tensors."""
    return unpack({"k": BITS, **tensors}, {"packed": json.dumps(entries)})


def test_a_record_may_be_of_any_shape():
    found = unpacked(
        {
            "one": {"shape": [], "bits": "k"},
            "row": {"shape": [3], "bits": "k"},
            "again": {"shape": [3], "bits": "k"},
            "matrix": {"shape": [2, 4], "bits": "k", "values": "v"},
            "none": {"shape": [0, 5], "bits": "e", "values": "w"},
        },
        v=torch.tensor([3.0, 4.0], dtype=torch.float64),
        w=torch.zeros(0),
        e=torch.zeros(0, dtype=torch.uint8),
        left=torch.ones(1),
    )
    assert found.keys() == {"one", "row", "again", "matrix", "none", "left"}
    assert (found["one"].tolist(), found["row"].tolist()) == (True, [True, False, True])
    assert found["matrix"].tolist() == [[3.0, 0.0, 4.0, 0.0], [0.0] * 4]
    assert (found["matrix"].dtype, found["none"].shape) == (torch.float64, (0, 5))
    found["row"].zero_()
    assert found["again"].any()


def test_without_a_record_tensors_are_what_they_are():
    tensors = {"k": BITS}
    for head in (None, {}, {"other": "x"}, {"packed": "{}"}):
        assert unpack(tensors, head) is tensors


@pytest.mark.parametrize(
    ("entry", "tensors", "message"),
    [
        ({"shape": [9], "bits": "k"}, {}, "1 bytes of bits are not those of a mask of shape (9,)"),
        ({"shape": [0], "bits": "k"}, {}, "1 bytes of bits are not those of a mask of shape (0,)"),
        ({"shape": [-1, -8], "bits": "k"}, {}, "1 bytes of bits are not those of a mask of shape (-1, -8)"),
        ({"shape": [-8, 0], "bits": "k"}, {"k": BITS[:0]}, "0 bytes of bits are not those of a mask of shape (-8, 0)"),
        ({"shape": [3], "bits": "k"}, {"k": BITS.view(1, 1)}, "1 bytes of bits are not those of a mask of shape (3,)"),
        ({"shape": [3], "bits": "k"}, {"k": BITS.int()}, "1 bytes of bits are not those of a mask of shape (3,)"),
        ({"shape": [3], "bits": "k", "values": "v"}, {"v": torch.ones(3)}, "x has 3 values for 2 places"),
        ({"shape": [3], "bits": "k", "values": "v"}, {"v": torch.ones(2, 2)}, "x has 4 values for 2 places"),
        ({"shape": [3], "bits": "k", "values": "v"}, {"v": torch.ones(2, 1)}, "x has 2 values for 2 places"),
        ({"shape": [3]}, {}, "its record of packed tensors does not fit: 'bits'"),
    ],
)
def test_a_record_that_does_not_fit_says_why(entry, tensors, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        unpack({"k": BITS, **tensors}, {"packed": json.dumps({"x": entry})})
