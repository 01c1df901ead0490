"""Small files of every kind that is read, whole and damaged."""

import io
import struct

import numpy as np
import safetensors.torch
import torch
from PIL import Image

GRID = b"""
[common]
model = "LeNet300"
epochs = 1
[[section]]
prune_criterion = ["SNIP", "GRASP"]
[for.prune_criterion.SNIP]
snip_steps = 2
[[exclude]]
prune_criterion = "GRASP"
"""


def arrays():
    content = io.BytesIO()
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    np.savez(content, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return content.getvalue()


def npz_of(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 28, 28), np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(4, dtype=np.uint8)))


def image(form):
    content = io.BytesIO()
    Image.effect_noise((16, 16), 50).convert("RGB").save(content, form)
    return content.getvalue()


def weights(ending):
    state = torch.nn.Linear(3, 2).state_dict()
    if ending == ".safetensors":
        return safetensors.torch.save(state)
    content = io.BytesIO()
    torch.save(state, content, _use_new_zipfile_serialization=ending == ".pth")
    return content.getvalue()


def broken_images(folder):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        (folder / place / "1.png").write_bytes(image("png"))
    (folder / "test" / "b" / "2.png").write_bytes(image("png")[:60])
    return "--data_set IMAGEFOLDER", "2.png"


def broken_arrays(folder):
    (folder / "arrays.npz").write_bytes(arrays()[:-30])
    return "--data_set ARRAYS", "arrays.npz"


def broken_mnist(folder):
    mnist_files(folder / "MNIST" / "raw")
    (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    return "--data_set MNIST", "train-images-idx3-ubyte"


def broken_weights(folder):
    (folder / "w.pth").write_bytes(weights(".pth")[:-60])
    return f"--checkpoint_model {folder / 'w.pth'}", "w.pth"


def broken_grid(folder):
    (folder / "grid.toml").write_bytes(GRID[:-3])
    return f"--grid {folder / 'grid.toml'}", "grid.toml"
