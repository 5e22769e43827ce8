#!/usr/bin/env python3
"""Nothing in this repository tells a sanitizer, valgrind or the linter to look away: what they say of
the library is true, or it is fixed."""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A suppression as a file or a flag, in valgrind's, the sanitizers' and the compilers' words.
WORDS = re.compile(r"--suppressions=|suppressions=/|\.supp\b|no_sanitize|__tsan_default_suppressions|"
                   r"__lsan_default_suppressions|fun:tidegate|race:tidegate|leak:tidegate|"
                   r"-fsanitize-(?:ignorelist|blacklist)|AnnotateIgnore")


def suppressions(root):
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    names = [name for name in tracked.stdout.decode().split("\0") if name]
    if not names:  # an export of the sources
        names = [path.relative_to(root) for folder in ("lib", "scripts", "stress", "tests", "bench")
                 for path in (root / folder).rglob("*") if path.is_file()]
    for name in names:
        path = root / name
        if path == pathlib.Path(__file__).resolve() or not path.is_file() or "corpus" in path.parts:
            continue
        for line in path.read_text(errors="replace").splitlines():
            if WORDS.search(line):
                yield f"{name}: {line.strip()}"


class Suppressions(unittest.TestCase):
    def test_there_is_none(self):
        self.assertEqual(list(suppressions(ROOT)), [])

    def test_one_would_be_seen(self):
        for line in ("valgrind --suppressions=tests/x", "race:tidegate::core", "memcheck.supp"):
            self.assertTrue(WORDS.search(line), line)


if __name__ == "__main__":
    unittest.main()
