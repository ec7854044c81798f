"""Where an unexpected error came from, without its message, which may quote a patient's header."""

from traceback import extract_tb


def place_of(error: BaseException) -> str:
    """Return the error's type, and the file, line and function that raised it."""
    frames = extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} in {last.name} ({last.filename}:{last.lineno})"
