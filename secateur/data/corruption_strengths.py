"""How strong the corruptions of secateur/data/corruptions.py are. Free of torch: `--help` names them."""

#: By corruption: five numbers from mild to hard, and what they are. Lengths are shares of an image's shorter side.
STRENGTHS = {
    "gaussian_noise": ((0.08, 0.16, 0.24, 0.32, 0.4), "standard deviation"),
    "shot_noise": ((60, 25, 12, 5, 3), "photons of a white pixel"),
    "blur": ((0.015, 0.025, 0.035, 0.05, 0.065), "standard deviation / side"),
    "contrast": ((0.6, 0.45, 0.3, 0.2, 0.1), "factor"),
    "brightness": ((0.1, 0.2, 0.3, 0.4, 0.5), "added light"),
    "occlusion": ((0.15, 0.25, 0.35, 0.45, 0.55), "square's side / side"),
    "pixelate": ((0.5, 0.42, 0.36, 0.3, 0.25), "pixels' number / side"),
}
LEVELS = (1, 2, 3, 4, 5)
