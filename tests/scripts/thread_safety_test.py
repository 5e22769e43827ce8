#!/usr/bin/env python3
"""base/mutex.hpp tells clang who holds which lock, and clang refuses what touches a guarded member
without it. The library itself is looked at when the preset tsan-clang is built."""

import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNTER = """
#include <tidegate/base/mutex.hpp>

class Counter {
 public:
  void add() {%s ++count_; }
  void add_twice() {
    tidegate::detail::Lock lock(mutex_);
    add_locked();
    %s
    add_locked();
  }

 private:
  void add_locked() TIDEGATE_REQUIRES(mutex_) { ++count_; }

  tidegate::detail::Mutex<> mutex_;
  int count_ TIDEGATE_GUARDED_BY(mutex_) = 0;
};
"""
TAKES_IT = " const tidegate::detail::Lock lock(mutex_);"


class ThreadSafety(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        named = subprocess.run([ROOT / "scripts/newest-clang"], capture_output=True, text=True)
        if named.returncode != 0:
            raise unittest.SkipTest("there is no clang++; scripts/setup installs one")
        cls.compiler = named.stdout.strip()

    def compile(self, first, second):
        return subprocess.run(
            [self.compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wthread-safety",
             "-Werror=thread-safety", "-I", ROOT / "lib/include", "-x", "c++", "-"],
            input=COUNTER % (first, second), capture_output=True, text=True)

    def test_what_holds_the_lock_compiles(self):
        done = self.compile(TAKES_IT, "")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_member_is_not_touched_without_its_lock(self):
        done = self.compile("", "")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("requires holding mutex 'mutex_'", done.stderr)

    def test_a_function_that_needs_the_lock_is_not_called_after_unlocking(self):
        done = self.compile(TAKES_IT, "lock.unlock();")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("calling function 'add_locked' requires holding mutex", done.stderr)


if __name__ == "__main__":
    unittest.main()
