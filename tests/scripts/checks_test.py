#!/usr/bin/env python3
"""scripts/check-includes, check-listed, check-docs and check-core fail on what they are there for."""

import pathlib
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

CLEAN_TREE = {
    "lib/CMakeLists.txt": "add_library(tidegate src/core/queue.cpp src/pq/connection.cpp)",
    "lib/include/tidegate/tidegate.hpp": "#include <tidegate/pool/pool.hpp>",
    "lib/include/tidegate/base/error.hpp": "#include <string>",
    "lib/include/tidegate/core/gate.hpp": "#include <tidegate/base/error.hpp>",
    "lib/include/tidegate/pq/connection.hpp": "#include <tidegate/base/error.hpp>",
    "lib/include/tidegate/pool/pool.hpp":
        "#include <tidegate/core/gate.hpp>\n#include <tidegate/pq/connection.hpp>",
    "lib/src/core/queue.cpp": "#include <concurrentqueue.h>\n#include <tidegate/core/gate.hpp>",
    "lib/src/core/queue_detail.hpp": "",
    "lib/src/pq/connection.cpp": "#include <libpq-fe.h>",
    "lib/src/pool/pool_impl.hpp": '#include "pool/close/closing.hpp"',
    "lib/src/pool/close/closing.hpp": '#include "pool/pool_impl.hpp"',
    "tests/CMakeLists.txt": "add_executable(unit-tests unit/core/gate_test.cpp)",
    "tests/unit/core/gate_test.cpp": "",
}


class Planted(unittest.TestCase):
    """Each test plants one fault into a small clean tree."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.plant("CMakeLists.txt", "")
        for path, text in CLEAN_TREE.items():
            self.plant(path, text)

    def check(self, script):
        return subprocess.run([SCRIPTS / script, self.root], capture_output=True,
                              text=True)

    def plant(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a") as out:
            out.write(text + "\n")

    def expect_caught(self, script, words):
        done = self.check(script)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(words, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def expect_caught_among(self, script, words):
        self.assertIn(words, self.check(script).stderr)

    def expect_broken_rule(self, path, line, words):
        self.plant(path, line)
        self.expect_caught("check-includes", words)


class Includes(Planted):
    def test_clean_tree(self):
        done = self.check("check-includes")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_core_must_not_see_pq(self):
        self.expect_broken_rule("lib/include/tidegate/core/planted.hpp",
                                "#include <tidegate/pq/connection.hpp>", "core must not see pq")

    def test_pq_must_not_see_core(self):
        self.expect_broken_rule("lib/src/pq/planted.cpp", "#include <tidegate/core/gate.hpp>",
                                "pq must not see core")

    def test_relative_paths_do_not_hide_a_layer(self):
        self.expect_broken_rule("lib/src/pq/planted.cpp",
                                '# include "../../include/tidegate/core/gate.hpp"',
                                "pq must not see core")

    def test_only_pool_sees_the_layers_below_it(self):
        self.expect_broken_rule("lib/include/tidegate/core/planted.hpp",
                                "#include <tidegate/pool/pool.hpp>", "core must not see pool")

    def test_base_sees_no_other_layer(self):
        self.expect_broken_rule("lib/src/base/planted.cpp", "#include <tidegate/core/gate.hpp>",
                                "base must not see core")

    def test_base_sees_the_standard_library_only(self):
        self.expect_broken_rule("lib/include/tidegate/base/error.hpp", "#include <sys/socket.h>",
                                "base sees the standard library only")

    def test_watch_sees_nothing_of_core(self):
        self.expect_broken_rule("lib/include/tidegate/watch/planted.hpp",
                                "#include <tidegate/core/gate.hpp>", "watch must not see core")

    def test_libpq_stays_in_the_sources_of_pq(self):
        self.expect_broken_rule("lib/src/pq/planted.hpp", "#include <libpq-fe.h>",
                                "only the sources of pq may")

    def test_libpq_stays_out_of_pool(self):
        self.expect_broken_rule("lib/src/pool/planted.cpp", "#include <postgresql/libpq-fe.h>",
                                "only the sources of pq may")

    def test_one_file_includes_the_queue(self):
        self.expect_broken_rule("lib/src/core/planted.cpp",
                                "#include <concurrentqueue/concurrentqueue.h>",
                                "concurrentqueue.h must be included in exactly one file")

    def test_public_headers_include_nothing_private(self):
        self.expect_broken_rule("lib/include/tidegate/core/planted.hpp",
                                '#include "../../../src/core/queue_detail.hpp"',
                                "is public and includes")

    def test_a_room_sees_no_room_it_has_no_business_in(self):
        self.expect_broken_rule("lib/src/pool/config/planted.cpp",
                                '#include "pool/close/closing.hpp"',
                                "pool/config must not see pool/close")

    def test_errors_know_nothing_of_a_pool(self):
        self.expect_broken_rule("lib/src/pool/errors/planted.cpp", '#include "pool/pool_impl.hpp"',
                                "pool/errors must not see the front")

    def test_a_folder_that_is_no_room(self):
        self.expect_broken_rule("lib/src/pq/planted/planted.cpp", "", "is in no known room")

    def test_a_folder_that_is_no_layer(self):
        self.expect_broken_rule("lib/src/planted/planted.cpp", "", "is in no known layer")


class Listed(Planted):
    def test_clean_tree(self):
        done = self.check("check-listed")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_forgotten_source_in_every_folder(self):
        for path in ("lib/src/core/planted.cpp", "tests/unit/core/planted.cpp",
                     "tests/postgres/planted.cpp", "tests/scripts/planted_test.py",
                     "stress/planted.cpp", "bench/micro/planted.cpp", "examples/99/main.cpp"):
            with self.subTest(path=path):
                self.plant(path, "")
                self.expect_caught("check-listed", f"{path}: in no CMakeLists.txt")
                (self.root / path).unlink()

    def test_a_comment_does_not_list(self):
        self.plant("tests/unit/core/planted.cpp", "")
        self.plant("tests/CMakeLists.txt", "# unit/core/planted.cpp")
        self.expect_caught("check-listed", "tests/unit/core/planted.cpp")

    def test_another_file_of_the_same_name_does_not_list(self):
        self.plant("stress/CMakeLists.txt", "add_executable(a planted.cpp)")
        self.plant("stress/planted.cpp", "")
        self.assertEqual(self.check("check-listed").returncode, 0)
        self.plant("stress/deeper/planted.cpp", "")
        self.expect_caught("check-listed", "stress/deeper/planted.cpp")


class Docs(Planted):
    def setUp(self):
        super().setUp()
        self.plant("examples/01/main.cpp", "#include <x>\nint main() {}")
        self.plant("README.md", "<!-- code: examples/01/main.cpp -->\n```cpp\n#include <x>\n"
                   "int main() {}\n```\nShown by `Gate.Closes` and all of `Gate.*`.")
        self.plant("tests/unit/core/gate_test.cpp", "TEST(Gate, Closes) {}")

    def test_clean_tree(self):
        done = self.check("check-docs")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_an_example_that_has_changed(self):
        self.plant("examples/01/main.cpp", "// more")
        self.expect_caught("check-docs", "not as it is now")

    def test_a_test_that_does_not_exist(self):
        self.plant("docs/pgxpool.md", "`Gate.Opens` shows it.")
        self.expect_caught("check-docs", "Gate.Opens")

    def test_a_suite_that_does_not_exist(self):
        self.plant("docs/pgxpool.md", "`Door.*` show it.")
        self.expect_caught("check-docs", "Door.*")

    def test_scenarios_that_exist(self):
        self.plant("stress/close/race.cpp", 'Registered({"close.race", "a story", play});')
        self.plant("docs/guarantees.md", "| a | `close.race`, stress close, stress close.* (so) |\n"
                   "See close.cpp and stress/close.hpp, which are files.")
        self.assertEqual(self.check("check-docs").stderr, "")

    def test_a_scenario_that_does_not_exist(self):
        self.plant("stress/close/race.cpp", 'Registered({"close.race", "a story", play});')
        for page, text in (("docs/stress.md", "| many | close.storm |"),
                           ("docs/decisions.md", "`close.storm` shows it"),
                           ("docs/guarantees.md", "| a | stress server.*, model x |"),
                           ("docs/guarantees.md", "| a | stress close.*, server.down (so) |"),
                           ("docs/guarantees.md", "| a | stress opening |")):
            with self.subTest(text=text):
                self.plant("stress/models/spin/x.pml", "")
                self.plant(page, text)
                self.expect_caught("check-docs", "names the scenario")
                (self.root / page).unlink()

    def test_a_model_that_does_not_exist(self):
        self.plant("stress/models/spin/gate.pml", "#ifdef MUTANT_NO_PIN")
        for text in ("| a | models core, gate, door |", "| `door` | a door | no-pin |"):
            with self.subTest(text=text):
                self.plant("docs/models.md", text)
                self.expect_caught("check-docs", "names the model door")
                (self.root / "docs/models.md").unlink()

    def test_a_row_of_mutants_that_is_not_so(self):
        self.plant("stress/models/spin/gate.pml", "#ifdef MUTANT_NO_PIN")
        self.plant("docs/models.md", "| `gate` | all of it | no-pin |")
        self.assertEqual(self.check("check-docs").stderr, "")
        self.plant("stress/models/spin/gate.pml", "#ifdef MUTANT_NO_BIAS")
        self.expect_caught("check-docs", "gate/no-bias: it is not in its row")
        self.plant("docs/models.md", "| `gate` | all of it | no-pin, no-bias, no-hinge |")
        self.expect_caught_among("check-docs", "gate/no-hinge: it does not exist")

    def test_links_that_lead_somewhere(self):
        self.plant("docs/pools.md", "# On pools: `a_b`, again\nSee [it](#on-pools-a_b-again), "
                   "[the web](https://a.b/c), `[&](Code)`.\n```cpp\n[&](int) {}\n```")
        self.plant("docs/pgxpool.md", "[a](pools.md), [b](pools.md#on-pools-a_b-again), [c](../README.md)")
        self.plant("lib/src/core/planted.cpp", "// see docs/pools.md")
        self.assertEqual(self.check("check-docs").stderr, "")

    def test_a_link_that_leads_nowhere(self):
        self.plant("docs/pools.md", "# On pools")
        for link in ("pool.md", "pools.md#pools", "#pools", "../docs/pool.md"):
            with self.subTest(link=link):
                self.plant("docs/pgxpool.md", f"[there]({link})")
                self.expect_caught("check-docs", f"docs/pgxpool.md links to {link.split('#')[0]}")
                (self.root / "docs/pgxpool.md").unlink()

    def test_a_source_that_names_a_page_that_does_not_exist(self):
        self.plant("lib/include/tidegate/core/planted.hpp", "// as docs/plan.md tells")
        self.expect_caught("check-docs", "planted.hpp names docs/plan.md")


# A core with two states and three moves, and its page.
SMALL_CORE = {
    "lib/include/tidegate/core/slot_state.hpp": """
enum class SlotState : std::uint8_t {
  idle,  // free; [publish] releases, for I2
  out,
};
""",
    "lib/include/tidegate/core/pool.hpp": """
class Pool {
 public:
  bool try_take(std::uint32_t slot) noexcept { return states_.claim(slot, SlotState::out); }
  void give(std::uint32_t slot);
  void lend(std::uint32_t slot, SlotState to) { take(slot, to); }
};

template <class Sync>
void Pool<Sync>::give(std::uint32_t slot) noexcept {
  if (states_.make_idle(slot, SlotState::out)) enqueue(slot);
  TIDEGATE_ASSERT(I2, is_idle(slot));
}
""",
    "docs/core.md": """
| from | to | made by | in | by |
|---|---|---|---|---|
| `idle` | `out` | `try_take` | pool.hpp | [publish] |
| `out` | `idle` | `give` | pool.hpp | [publish] |
| `out` one | `out` another | `lend` | pool.hpp | none |

| edge | carries |
|---|---|
| [publish] | `Pool` in `pool.hpp` |

| name | what holds |
|---|---|
| **I2** place | one |
""",
    "docs/slot-life.svg": """<svg>
<text class="name">idle</text> <text class="name">out</text>
<text class="move start" x="1">try_take</text> <text class="move">give, lend</text>
</svg>""",
}


class Core(Planted):
    def setUp(self):
        super().setUp()
        for path, text in SMALL_CORE.items():
            self.plant(path, text)

    def change(self, path, old, new):
        file = self.root / path
        text = file.read_text()
        self.assertIn(old, text)
        file.write_text(text.replace(old, new))

    def expect_caught_when(self, path, old, new, words):
        before = (self.root / path).read_text()
        self.change(path, old, new)
        self.expect_caught("check-core", words)
        (self.root / path).write_text(before)

    def test_clean_tree(self):
        done = self.check("check-core")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_an_invariant_that_is_not_stated(self):
        self.plant("lib/src/pool/planted.cpp", "TIDEGATE_DEBUG_ASSERT(I12, calm);")
        self.expect_caught("check-core", "the invariant I12, which lib/src/pool/planted.cpp cites")

    def test_an_invariant_that_is_only_mentioned(self):
        self.change("docs/core.md", "**I2** place", "see I2")
        self.expect_caught_among("check-core", "the invariant I2")

    def test_a_memory_edge_that_is_not_stated(self):
        self.plant("lib/src/core/planted.cpp", "// [hand-over] release. Not an edge: text[size], [[x]].")
        self.expect_caught("check-core", "the edge hand-over, which lib/src/core/planted.cpp cites")

    def test_a_move_by_a_function_that_is_not_in_the_file_named(self):
        self.expect_caught_when("docs/core.md", "| `lend` | pool.hpp", "| `lend` | slot_state.hpp",
                                "lend: is not defined in slot_state.hpp")
        self.expect_caught_when("docs/core.md", "| `lend` | pool.hpp", "| `lend` | planted.hpp",
                                "lend: there is no planted.hpp")

    def test_a_move_by_a_function_that_was_renamed(self):
        self.change("lib/include/tidegate/core/pool.hpp", " give(", " hand_back(")
        self.change("lib/include/tidegate/core/pool.hpp", "::give(", "::hand_back(")
        self.expect_caught_among("check-core", "give: is not defined in pool.hpp")

    def test_a_function_that_is_called_is_not_defined(self):
        self.change("lib/include/tidegate/core/pool.hpp", "lend(std::uint32_t slot, SlotState to) { take",
                    "other(std::uint32_t slot, SlotState to) { lend")
        self.expect_caught_among("check-core", "lend: is not defined in pool.hpp")

    def test_a_state_that_the_table_does_not_have(self):
        self.change("lib/include/tidegate/core/slot_state.hpp", "  out,\n", "  out,\n  lane,\n")
        for words in ("no move into the state lane", "no move out of the state lane",
                      "does not show the state lane"):
            self.expect_caught_among("check-core", words)

    def test_a_state_that_only_the_table_has(self):
        self.change("docs/core.md", "| `out` one", "| `out`, `lane`")
        self.expect_caught_among("check-core", "lend: there is no state lane")

    def test_a_move_that_the_table_does_not_have(self):
        for move, words in (("states_.claim(slot, SlotState::out)", "idle -> out by planted"),
                            ("states_.claim_dequeued(slot)", "idle -> out by planted"),
                            ("states_.move(at(), SlotState::out, SlotState::idle)",
                             "out -> idle by planted"),
                            ("states_.make_idle(slot, from)", "any -> idle by planted"),
                            ("gate.take_docked(slot)", "out -> any by planted")):
            with self.subTest(move=move):
                self.plant("lib/src/core/planted.cpp",
                           f"template <class S>\nvoid Pool<S>::planted(int slot) {{\n  {move};\n}}")
                self.expect_caught("check-core", words)
                (self.root / "lib/src/core/planted.cpp").unlink()

    def test_a_move_of_a_function_that_has_another_one_in_the_table(self):
        self.change("lib/include/tidegate/core/pool.hpp", "enqueue(slot);",
                    "states_.move(slot, SlotState::idle, SlotState::out);")
        self.expect_caught("check-core", "idle -> out by give")

    def test_a_move_that_somebody_calls_for(self):
        self.plant("lib/src/core/planted.cpp", "void f() { lend(3, SlotState::idle); }")
        self.expect_caught("check-core", "idle -> any by lend, which lib/src/core/planted.cpp calls for")

    def test_a_picture_that_is_not_so(self):
        self.change("docs/slot-life.svg", "try_take", "try_steal")
        self.expect_caught_among("check-core", "does not show try_take")
        self.expect_caught_among("check-core", "with try_steal, which is in no row")

    def test_a_name_that_is_nowhere(self):
        self.plant("docs/core.md", "See `Pool::steal()`.")
        self.expect_caught("check-core", "names Pool::steal(), and steal is nowhere in lib")

    def test_a_file_that_does_not_exist(self):
        self.plant("docs/core.md", "See `lib/src/pool/thief.hpp`.")
        self.expect_caught("check-core", "names the file lib/src/pool/thief.hpp")

    def test_a_page_that_is_too_long(self):
        self.plant("docs/core.md", "\n" * 250)
        self.expect_caught("check-core", "250 at most")

    def test_a_page_without_its_table(self):
        self.change("docs/core.md", "| from | to |", "| of | to |")
        self.expect_caught("check-core", "has no table of moves")


if __name__ == "__main__":
    unittest.main()
