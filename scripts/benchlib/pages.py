"""Tables in a page, each between two lines that name it."""

import argparse

from benchlib import files


def markers(name):
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def page(name):
    """The type of an argument: a page with room for the table `name`, or a new one."""
    begin, end = markers(name)

    def check(text):
        file = files.to_write(text)
        if file.exists():
            try:
                there = file.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise argparse.ArgumentTypeError(f"{file} cannot be read: {error}") from None
            if not there.count(begin) == there.count(end) == 1 or (
                    there.index(end) < there.index(begin)):
                raise argparse.ArgumentTypeError(
                    f"{file} needs a line {begin} and a line {end} after it, once each")
        return file
    return check


def put(file, name, table):
    """Writes the table between its markers and leaves the rest of the page alone."""
    begin, end = markers(name)
    block = f"{begin}\n{table}\n{end}"
    if file.exists():
        text = file.read_text(encoding="utf-8")
        block = text[:text.index(begin)] + block + text[text.index(end) + len(end):]
    else:
        block += "\n"
    files.write(file, block)
    print(f"bench: the table is in {file}")


def put_beside(file, name, table):
    """The same for one of a page's further tables: where the page has no place for it, nothing."""
    if all(file.read_text(encoding="utf-8").count(marker) == 1 for marker in markers(name)):
        put(file, name, table)


def caption(date, environment, command):
    """Where figures come from: when, on which machine, by what."""
    machine = ", ".join((environment["machine"], f"{environment['cores']} cores",
                         f"kernel {environment['kernel']}", environment["compiler"],
                         environment["build_type"]))
    return f"{date[:10]}, {machine}: `{command}`."


def add_argument(command, name):
    begin, end = markers(name)
    command.add_argument("--markdown", metavar="FILE", type=page(name),
                         help=f"the table, between the lines {begin} and {end} of FILE")
