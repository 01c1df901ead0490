"""Accuracies under corruptions are compared with those of earlier runs: no strength changes unnoticed."""

from secateur.data.corruption_strengths import LEVELS, STRENGTHS


def test_every_strength_is_what_it_was():
    assert LEVELS == (1, 2, 3, 4, 5)
    assert {name: strengths for name, (strengths, _) in STRENGTHS.items()} == {
        "gaussian_noise": (0.08, 0.16, 0.24, 0.32, 0.4), "shot_noise": (60, 25, 12, 5, 3),
        "blur": (0.015, 0.025, 0.035, 0.05, 0.065), "contrast": (0.6, 0.45, 0.3, 0.2, 0.1),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5), "occlusion": (0.15, 0.25, 0.35, 0.45, 0.55),
        "pixelate": (0.5, 0.42, 0.36, 0.3, 0.25),
    }  # fmt: skip
