"""Image files decoded to arrays of one shape."""

import numpy as np
from PIL import Image, ImageOps

from secateur.utils.errors import UserError, one_line

#: What is read, whatever a file's name ends in. Pillow knows more, of which PostScript is run by another program.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")


def decode(file: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the image of a file as uint8 (C, H, W): grey where C is 1, in colour where it is 3.

    What is smaller or larger is resized until it covers the height and width, and the middle is taken. Raises
    `UserError` where the file holds no image.
    """
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(file, formats=FORMATS) as image:
            image.draft(mode, (width, height))  # JPEG: decode no larger than needed
            pixels = np.asarray(ImageOps.fit(image.convert(mode), (width, height)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"the image {file} cannot be read: {one_line(error)}") from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
