"""A test program with some of its tests alone: the library and the few sources in which these are. After a
change of a header that is everywhere it takes a fraction of the time."""

import pathlib
import re
import shlex
import subprocess

BEGINNING = r"\b(?:TYPED_)?TEST(?:_F|_P)?\("
TEST = BEGINNING + r"\s*{suite}\s*,\s*{name}\s*\)"


class PartOfTests:
    def __init__(self, build, program):
        """`build`: a folder of Ninja's, in which `program` is tests/PROGRAM."""
        self.build = pathlib.Path(build)
        commands = subprocess.run(["ninja", "-t", "commands", f"tests/{program}"], cwd=self.build,
                                  check=True, text=True, capture_output=True).stdout
        words = shlex.split(commands.splitlines()[-1])
        # ": && c++ ... -o tests/PROGRAM ... && what comes after the link"
        start = words.index("&&") + 1
        self.link = words[start:words.index("&&", start)]
        self.output = f"tests/{program}"
        self.objects = [word for word in self.link if word.endswith(".o")]
        self.archives = [word for word in self.link
                         if word.endswith(".a") and not word.startswith("/")]

    def sources(self, name):
        """Of an object: one, or those of a unity build."""
        if "/Unity/" in name:
            text = (self.build / name.removesuffix(".o")).read_text()
            return [pathlib.Path(found) for found in re.findall(r'#include "([^"]+)"', text)]
        commands = subprocess.run(["ninja", "-t", "commands", "-s", name], cwd=self.build, check=True,
                                  text=True, capture_output=True).stdout
        return [pathlib.Path(shlex.split(commands.splitlines()[-1])[-1])]

    def objects_for(self, tests):
        """Those with one of the tests ("Suite.Name", "Instance/Suite.Name/0") or with no tests, which all
        need. None: a test is nowhere to be found."""
        wanted = []
        for test in tests:
            # "Instance/Suite.Name/0" with a parameter, "Suite/Type.Name" with a type
            suite, _, name = test.partition(".")
            suite = "(?:" + "|".join(map(re.escape, suite.split("/"))) + ")"
            wanted.append(re.compile(TEST.format(suite=suite, name=re.escape(name.split("/")[0]))))
        needed, missing = [], set(wanted)
        for name in self.objects:
            texts = [source.read_text() for source in self.sources(name)]
            found = {test for test in wanted if any(test.search(text) for text in texts)}
            missing -= found
            if found or any(not re.search(BEGINNING, text) for text in texts):
                needed.append(name)
        return None if missing else needed

    def targets(self, objects):
        return [*objects, *self.archives]

    def link_command(self, objects):
        return [word for word in self.link if not word.endswith(".o") or word in objects]
