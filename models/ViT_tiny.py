"""ViT-Ti."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.models.blocks.forms import Form, TwoForms, is_small


class Attention(nn.Module):
    """Every token gathers from all tokens what its queries match (Vaswani et al., 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        #: Of the width that heads begin with, also where they have been made narrower.
        self.scale = (width // heads) ** -0.5
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T, width) to the same shape."""
        images, count, _ = tokens.shape
        together = self.queries_keys_values(tokens).view(images, count, 3, self.heads, -1)
        gathered = functional.scaled_dot_product_attention(*together.permute(2, 0, 3, 1, 4), scale=self.scale)
        return self.output(gathered.transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """Attention and a perceptron four times as wide, each after a norm and around a shortcut (figure 1, right)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T, width) to the same shape."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.perceptron(self.norm2(tokens))


class ViT_tiny(TwoForms):  # noqa: N801 - named as the literature names it
    """Vision transformer of 12 layers of 192 with 3 heads (Dosovitskiy et al., 2021; DeiT-Ti of Touvron et al., 2021).

    Patches of 16 pixels: 5,717,416 parameters on ImageNet. Patches of 4 on small images: 5,362,762 on CIFAR-10. Pixels
    beyond the last whole patch are not seen. For images of another size, as `--train_sizes` makes them, the positions
    are resized (Dosovitskiy et al., section 3.2).
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        channels, height, width = input_shape
        patch = 4 if is_small(input_shape, form) else 16
        self.grid = height // patch, width // patch
        tokens = self.grid[0] * self.grid[1] + 1
        self.patches = nn.Conv2d(channels, 192, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 192))
        self.positions = nn.Parameter(torch.zeros(1, tokens, 192))
        self.encoders = nn.Sequential(*[Encoder(192, 3) for _ in range(12)])
        self.norm = nn.LayerNorm(192, eps=1e-6)
        self.classifier = nn.Linear(192, num_classes)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        patches = self.patches(images)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self._positions(patches.shape[2:])
        return self.classifier(self.norm(self.encoders(tokens))[:, 0])

    def _positions(self, grid: torch.Size) -> Tensor:
        """The positions (1, T, width) of the class token and of this grid of patches."""
        if grid == self.grid:
            return self.positions
        own, patches = self.positions.split([1, self.positions.shape[1] - 1], 1)
        patches = patches.transpose(1, 2).unflatten(2, self.grid)
        patches = functional.interpolate(patches, tuple(grid), mode="bilinear", antialias=True, align_corners=False)
        return torch.cat([own, patches.flatten(2).transpose(1, 2)], 1)
