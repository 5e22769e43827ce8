#!/usr/bin/env python3
"""Nothing in this repository tells a sanitizer, valgrind or the linter to look away: what they say of
the library is true, or it is fixed."""

import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A suppression as a file or a flag, in valgrind's, the sanitizers' and the compilers' words.
WORDS = re.compile(r"suppressions=\S|\.supp\b|no_sanitize|__(?:tsan|lsan|asan|ubsan)_default_suppressions|"
                   r"(?:fun|race|leak):tidegate|-fsanitize-(?:ignorelist|blacklist)|AnnotateIgnore")
# A line of a file of them, which need not be named as such: sanitizers', ignore lists', valgrind's.
LINE = re.compile(r"^\s*(?:(?:race|race_top|leak|thread|mutex|signal|deadlock|called_from_lib|"
                  r"interceptor_(?:name|via_fun|via_lib)|odr_violation|vptr_check|undefined|alignment|"
                  r"null|fun|src|obj|type|global|mainfile):[^:\s]\S*|(?:Memcheck|Helgrind|DRD):\w+)\s*$")


def names_in(root):
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    names = [name for name in tracked.stdout.decode().split("\0") if name]
    if not names:  # an export of the sources
        names = [path.relative_to(root) for folder in ("lib", "scripts", "stress", "tests", "bench")
                 for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return names


def suppressions(root):
    for name in names_in(root):
        path = root / name
        if path == pathlib.Path(__file__).resolve() or not path.is_file() or "corpus" in path.parts:
            continue
        for line in path.read_text(errors="replace").splitlines():
            if WORDS.search(line) or LINE.search(line):
                yield f"{name}: {line.strip()}"


class Suppressions(unittest.TestCase):
    def test_there_is_none(self):
        self.assertEqual(list(suppressions(ROOT)), [])

    def planted(self, name, line):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(f"int x = 1;\n{line}\n")
            return list(suppressions(pathlib.Path(folder)))

    def test_one_that_is_asked_for_would_be_seen(self):
        for line in ("valgrind --suppressions=tests/x", "export TSAN_OPTIONS=suppressions=tests/known",
                     '"TSAN_OPTIONS": "halt_on_error=1:suppressions=known"', "-fsanitize-ignorelist=known",
                     "const char* __lsan_default_suppressions();", "run memcheck.supp",
                     "__attribute__((no_sanitize(\"thread\")))"):
            self.assertEqual(self.planted("scripts/planted", line), [f"scripts/planted: {line}"])

    def test_a_file_of_them_would_be_seen_whatever_its_name(self):
        for line in ("race:tidegate::core", "race:moodycamel::*", "leak:libpq", "deadlock:x", "mutex:y",
                     "called_from_lib:libpq.so", "fun:start_thread", "obj:*/libpq.so*", "src:*/queue.h",
                     "Memcheck:Leak", "vptr_check:x", "signal:handler"):
            self.assertEqual(self.planted("tests/support/known", line), [f"tests/support/known: {line}"])

    def test_code_that_looks_like_one_is_none(self):
        for line in ("std::thread::id race;", "race: a word", "core::thread::x", "  signal::raise(1);",
                     "default:return;", '"race": 66,'):
            self.assertEqual(self.planted("lib/src/code.cpp", line), [])


if __name__ == "__main__":
    unittest.main()
