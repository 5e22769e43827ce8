#!/usr/bin/env python3
"""The mistakes in the core that its models must catch.

usage: mutants.py HEADERS DIRECTORY

Copies the headers of the core to DIRECTORY/tidegate/core, with each mistake below in place but
asleep until Run::mutant names it, and lists them in DIRECTORY/models/mutants.inc.
"""

import pathlib
import sys

ACQUIRE, RELEASE, CLOSE, OPEN, UPKEEP = (
    f"slot_pool_{part}.hpp" for part in ("acquire", "release", "close", "open", "upkeep"))
GATE, STATE, POOL, WAITERS = "gate.hpp", "slot_state.hpp", "slot_pool.hpp", "waiters.hpp"
DRAIN = "drain.hpp"
LANE = "lane_queue.hpp"


def instead(file, code, mistake):
    """`code`, which is there exactly once, becomes `mistake`. AWAKE in it is the condition."""
    return file, code, mistake


def never(file, code, what):
    """`what`, a part of `code`, is never true, or nothing."""
    nothing = "0" if what.startswith("plan_") else "false"
    return file, code, code.replace(what, f"(AWAKE ? {nothing} : {what})")


def relaxed(file, code):
    """The memory order in which `code` ends is relaxed."""
    start, order = code.rsplit("std::memory_order_", 1)
    return file, code, (f"{start}AWAKE ? std::memory_order_relaxed : std::memory_order_{order}")


# name, scenario and scheduler that catch it, edits
MUTANTS = [
    # Waiting (I3, I8).
    ("no-rescan", "arm random",
     never(ACQUIRE, "if (take_any_dock(gate, slot) || scan(slot)) {\n    waiters_.unlink(node);",
           "take_any_dock(gate, slot) || scan(slot)")),
    ("rescan-without-docks", "arm random",
     never(ACQUIRE, "take_any_dock(gate, slot) || scan(slot))) {\n    waiters_.unlink(node);",
           "take_any_dock(gate, slot)")),
    ("armed-if-the-list-was-empty", "window random",
     instead(ACQUIRE, "if (!armed_) arm();", "if (AWAKE ? waiters_.size() == 1 : !armed_) arm();")),
    ("armed-at-one-gate", "arm random",
     instead(ACQUIRE, "gates_[g].set(gate_word::kWaiting);",
             "if (!AWAKE || g == 0) gates_[g].set(gate_word::kWaiting);")),
    ("strict-after-unlocking", "arm random",
     instead(ACQUIRE, "  waiters_.mark_strict(node);\n",
             "  if (!AWAKE) waiters_.mark_strict(node);\n"),
     instead(ACQUIRE, "  tell_openings(openings);\n  TIDEGATE_TEST_POINT(\"wait.before_park\");\n",
             "  tell_openings(openings);\n"
             "  if (AWAKE) {\n    mutex_.lock();\n    waiters_.mark_strict(node);\n"
             "    mutex_.unlock();\n  }\n")),
    ("disarmed-outside-the-mutex", "arm random",
     instead(RELEASE, "      disarm();\n", "      if (AWAKE) lock.unlock();\n      disarm();\n")),
    ("grant-to-a-timed-out-waiter-is-lost", "timeout random",
     instead(ACQUIRE, "!node.parker.decide(word)) word",
             "!node.parker.decide(word) && !AWAKE) word")),
    ("withdrawn-though-it-was-granted", "called-back-or-late random",
     never(ACQUIRE, "if (!node.parker.decide(word)) return false;", "!node.parker.decide(word)")),
    ("called-back-without-a-rescan", "called-back random",
     never(ACQUIRE, "word != kUndecided) {\n    lock.unlock();\n    return end_wait(",
           "word != kUndecided")),
    ("only-the-oldest-is-asked", "timeout random",
     instead(WAITERS, "      if (node->parker.decide(word)) return {*node, called_back};\n",
             "      if (node->parker.decide(word)) return {*node, called_back};\n"
             "      if (AWAKE) return {};\n")),
    # Giving back (I2, I3).
    ("no-claim-back", "dock-taken random",
     instead(RELEASE, "gate.try_leave(gate_word::kClosed | gate_word::kWaiting)",
             "gate.try_leave(AWAKE ? 0 : gate_word::kClosed | gate_word::kWaiting)")),
    ("docks-beside-another-group", "dock-taken random",
     instead(GATE, "== group(slot, shift) || !any_docked(w);",
             "== group(slot, shift) || !any_docked(w) || AWAKE;")),
    ("undocks-all-and-takes-one", "docked-together random",
     instead(GATE, "docked ? gate_word::admit_and_undock(word) :",
             "docked ? (AWAKE ? gate_word::admit(word & ~gate_word::kBerths)\n"
             "                        : gate_word::admit_and_undock(word)) :")),
    ("docks-alone", "docked-together random",
     instead(GATE, "!gate_word::is_docked(word, slot, shift));\n",
             "!gate_word::is_docked(word, slot, shift));\n"
             "      if (AWAKE) {\n"
             "        word = word_.fetch_and(~gate_word::kBerths, std::memory_order_relaxed);\n"
             "        word &= ~gate_word::kBerths;\n      }\n")),
    ("maintenance-takes-without-claiming", "maintenance random",
     instead(POOL, "{ return states_.claim(slot, SlotState::checking); }",
             "{\n    if (!AWAKE) return states_.claim(slot, SlotState::checking);\n"
             "    if (states_.get(slot) != SlotState::idle) return false;\n"
             "    states_.move(slot, SlotState::idle, SlotState::checking);\n"
             "    return true;\n  }")),
    ("maintenance-puts-back-without-make-available", "maintenance random",
     instead(UPKEEP, "  make_available(slot, SlotState::checking);\n",
             "  if (!AWAKE) return make_available(slot, SlotState::checking);\n"
             "  if (books_.make_idle(slot, SlotState::checking)) enqueue(slot, slot);\n")),
    # Capacity (I3).
    ("scan-ignores-empty", "open-fails random",
     never(ACQUIRE, "const std::uint32_t openings = plan_openings();", "plan_openings()")),
    ("failed-opening-wakes-nobody", "open-fails random",
     never(OPEN, "plan_openings(why == OpenFailure::aborted ? For::all : For::waiters)",
           "plan_openings(why == OpenFailure::aborted ? For::all : For::waiters)")),
    ("freed-capacity-wakes-nobody", "capacity random",
     never(UPKEEP, "closed_ ? 0 : plan_openings();", "plan_openings()")),
    ("make-available-skips-capacity", "growth random",
     never(RELEASE, "plan_openings();  // for those who still wait, and", "plan_openings()")),
    ("rejection-wakes-nobody", "rejected random",
     instead(OPEN, "    waiters_.decide_all(", "    if (!AWAKE) waiters_.decide_all(")),
    # Close (I3, I4, I5).
    ("no-look-at-the-own-gate", "fence sequential",
     never(ACQUIRE, "if (gate_word::closed(gates_[gate].load())) {",
           "gate_word::closed(gates_[gate].load())")),
    ("close-calls-nobody-back", "called-back-or-closed random",
     instead(CLOSE, "  callbacks.tell();", "  if (!AWAKE) callbacks.tell();")),
    ("told-before-the-fence-stands", "fence random",
     instead(POOL, "[[unlikely]] {\n      fence();", "[[unlikely]] {\n      if (!AWAKE) fence();")),
    ("close-wakes-nobody", "close random",
     instead(CLOSE, "    fenced.waiters = waiters_.", "    if (!AWAKE) fenced.waiters = waiters_.")),
    ("close-leaves-the-docks", "fence random",
     never(CLOSE, "take_any_dock(0, slot) || scan(slot)", "take_any_dock(0, slot)")),
    ("published-after-close", "open-or-close random",
     never(RELEASE, "  if (closed_) {\n    lock.unlock();\n    return shut_down(slot, from);",
           "closed_")),
    ("plain-decrement", "last-leaver random",
     instead(RELEASE, "gates_[gate].try_leave(gate_word::kClosed)",
             "gates_[gate].try_leave(AWAKE ? 0 : gate_word::kClosed)")),
    ("undo-without-notify", "last-leaver random",
     never(DRAIN, "if (drained(allowed_)) condition_", "drained(allowed_)")),
    ("drain-check-without-its-mutex", "last-leaver random",
     instead(DRAIN, "void look() noexcept {\n    const Lock lock(mutex_);",
             "void look() noexcept {\n    std::unique_lock lock(mutex_, std::defer_lock);\n"
             "    if (!AWAKE) lock.lock();")),
    ("no-pin", "last-leaver random",
     instead(RELEASE, "  ref();\n", "  if (!AWAKE) ref();\n"),
     instead(RELEASE, "? 2 : 1)", "? 2 - AWAKE : 1 - AWAKE)")),
    ("pin-after-the-decrement", "last-leaver bound",
     instead(RELEASE, " ref();\n  const std::uint64_t word = gates_[gate].leave_closed();\n",
             " if (!AWAKE) ref();\n  const std::uint64_t word = gates_[gate].leave_closed();\n"
             "  if (AWAKE) ref();\n")),
    ("abandoned-without-bias", "abandon random",
     instead(DRAIN, "constexpr std::uint64_t kBias = ",
             "const std::uint64_t kBias = AWAKE ? 0 : ")),
    ("late-leaver-keeps-its-reference", "abandon random",
     instead(RELEASE, "unref(gate_word::orphaned(word)",
             "unref(gate_word::orphaned(word) && !AWAKE")),
    # Memory orders: [dock], [idle-publish], [leave], and that of the last reference (I5).
    ("dock-relaxed", "lease random",
     relaxed(GATE, "compare_exchange_weak(word, next, std::memory_order_release")),
    ("take-docked-relaxed", "arm random",
     relaxed(GATE, "gate_word::undock(word), std::memory_order_acquire")),
    ("undock-relaxed", "lease random",
     relaxed(GATE, "compare_exchange_weak(word, next, std::memory_order_acquire")),
    ("idle-relaxed", "maintenance random",
     relaxed(STATE, "raw(SlotState::idle) | kQueued),\n              std::memory_order_acq_rel")),
    ("claim-relaxed", "maintenance random",
     relaxed(STATE, "with_state(cell, to), std::memory_order_acquire")),
    ("leave-relaxed", "try random",
     relaxed(GATE, "gate_word::leave(word), std::memory_order_acq_rel")),
    ("drain-check-relaxed", "try random",
     relaxed(GATE, "std::uint64_t load() const noexcept { return word_.load("
                   "std::memory_order_acquire")),
    # Lanes (I3, I5, I8).
    ("lane-rests-under-a-push", "lane random",
     instead(LANE, "    return word_.compare_exchange_strong(alone, 0,",
             "    if (AWAKE) return word_.fetch_and(0, std::memory_order_release) != 0;\n"
             "    return word_.compare_exchange_strong(alone, 0,")),
    ("lane-has-two-leaders", "lane random",
     instead(LANE, "return (word & kLed) == 0;", "return AWAKE || (word & kLed) == 0;")),
    ("lane-takes-the-newest-alone", "lane random",
     instead(LANE, "      newest = before;\n", "      newest = AWAKE ? 0 : before;\n")),
    ("lane-frees-under-the-owner", "lane-leaves random",
     instead(LANE, "(one.mark.fetch_or(kFinished, std::memory_order_acq_rel) & kWithdrawn) != 0",
             "AWAKE || (one.mark.fetch_or(kFinished, std::memory_order_acq_rel) & kWithdrawn) != 0")),
    ("lane-never-frees", "lane-leaves random",
     never(LANE, "if (!one.parker->decide(withdrawn)) free(place);", "!one.parker->decide(withdrawn)")),
    ("lane-sends-what-was-taken-back", "lane-takes-back random",
     instead(LANE, "    if (one.mark.compare_exchange_strong(waiting, kSent,",
             "    if (AWAKE) return true;\n"
             "    if (one.mark.compare_exchange_strong(waiting, kSent,")),
    ("lane-takes-back-the-lead", "lane-takes-back random",
     instead(LANE, "if (one.parker->decide(gone)) return withdrawn;",
             "if (one.parker->decide(gone) || AWAKE) return withdrawn;")),
    ("lane-runs-again-for-nobody", "lane-strikes random",
     instead(LANE, "    free(place);\n    return false;\n  }\n  // The owner has left, or",
             "    if (!AWAKE) free(place);\n    return false;\n  }\n  // The owner has left, or")),
    ("lane-passes-to-nobody", "lane random",
     instead(LANE, "if (!parker.decide(leads)) return false;  // [decide] release\n    parker.wake();",
             "if (!parker.decide(leads)) return false;  // [decide] release\n"
             "    if (!AWAKE) parker.wake();")),
    ("lane-push-relaxed", "lane random",
     relaxed(LANE, "(place + 1) << 1 | kLed, std::memory_order_acq_rel")),
    ("lane-take-relaxed", "lane random",
     relaxed(LANE, "word_.fetch_and(kLed, std::memory_order_acq_rel")),
    ("lane-rest-relaxed", "lane random",
     relaxed(LANE, "compare_exchange_strong(alone, 0, std::memory_order_release")),
    ("lane-free-relaxed", "lane random",
     relaxed(LANE, ".fetch_or(bit, std::memory_order_release")),
    ("last-reference-relaxed", "last-leaver random",
     relaxed(DRAIN, "refs_.fetch_sub(count, std::memory_order_acq_rel")),
]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    headers, directory = map(pathlib.Path, sys.argv[1:])
    texts = {}
    for number, (name, _, *edits) in enumerate(MUTANTS, 1):
        for file, code, mistake in edits:
            text = texts.setdefault(file, (headers / file).read_text())
            if text.count(code) != 1:
                sys.exit(f"mutants.py: mutant {name}: {file} has this {text.count(code)} times "
                         f"instead of once; adapt the mutant to the code as it is now:\n{code}")
            awake = f"(::tidegate::models::Run::mutant == {number})"
            texts[file] = text.replace(code, mistake.replace("AWAKE", awake))
    outputs = {f"tidegate/core/{file}": text for file, text in texts.items()}
    outputs["models/mutants.inc"] = "".join(f'{{"{name}", "{scenario}"}},\n'
                                            for name, scenario, *_ in MUTANTS)
    for file, text in outputs.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(text)


if __name__ == "__main__":
    main()
