"""How a file is refused for its structure."""

from xemplar.errors import UnreadableImage


def too_many(parts: str, most: int) -> UnreadableImage:
    """The error for a file with more parts than any image has."""
    return UnreadableImage(
        f"the file has more than {most:,} {parts}, the limit: it is damaged or made to be slow to "
        "read; export the image again"
    )
