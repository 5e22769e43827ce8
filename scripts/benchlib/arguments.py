"""Values on the command line of scripts/bench."""

import argparse
import re

from benchlib import files


def regular_expression(text):
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}")
    return text


def percentage(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no percentage, as 3% is")
    return float(found[1]) / 100


THRESHOLD = percentage("3%")


def positive(text):
    if not re.fullmatch(r"0*[1-9]\d{0,5}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no positive number")
    return int(text)


def words(text):
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of names with commas between them")
    return found


def add_filter(command):
    command.add_argument("--filter", metavar="RE", default="", type=regular_expression,
                         help="only rows whose name matches, as 'select/.*/threads:8'")


def add_sampling(command):
    """How samples are taken."""
    command.add_argument("--suite", choices=("micro", "e2e"), default="micro",
                         help="the pool alone (the default), or whole statements")
    add_filter(command)
    command.add_argument("--runs", metavar="N", type=positive,
                         help="samples, each a process of its own (12)")
    command.add_argument("--quick", action="store_true",
                         help="3 short samples: a look, too few to call anything a change")
    command.add_argument("--any-load", action="store_true",
                         help="take samples as they come, also while others use the machine")
    command.add_argument("--seed", metavar="N", type=int,
                         help="of the order in which programs take turns (a new one each time)")


def add_comparing(command):
    """How runs are compared, and what is made of it."""
    command.add_argument("--threshold", metavar="P%", type=percentage, default=THRESHOLD,
                         help="what a change must exceed, besides the noise floor (3%%)")
    command.add_argument("--metric", metavar="M,...", type=words, default=["time"],
                         help="real_time, cpu_time, a counter's name, or p50, p99, p999, max for "
                              "every counter of that kind (time: of one operation)")
    command.add_argument("--plot", metavar="FILE", type=files.picture,
                         help="draw it: .png or .svg")
    command.add_argument("--json", metavar="FILE", type=files.to_write,
                         help="write it as JSON, too")
    command.add_argument("--fail-on-regression", action="store_true",
                         help="exit status 3 when something is SLOWER")
    command.add_argument("--force", action="store_true",
                         help="no exit status 4 for runs that cannot be compared")
