"""Files that the user names: asked whether they can be written before anything is measured."""

import argparse
import os
import pathlib

from benchlib.process import Failed

PICTURES = (".png", ".svg")


def told(error):
    """An OSError in words, without its number."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def to_write(text):
    """The type of an argument. Opens the file to be sure, and leaves none that was not there."""
    file = pathlib.Path(text)
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"'{text}': there is no folder {file.parent}")
    try:
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            file.unlink()
        except FileExistsError:
            os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"'{text}' cannot be written: {words}") from None
    return file


def picture(text):
    if pathlib.Path(text).suffix not in PICTURES:
        raise argparse.ArgumentTypeError(
            f"'{text}': a picture is {' or '.join(PICTURES)}, by the end of its name")
    return to_write(text)


def write(file, text):
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror}") from None
