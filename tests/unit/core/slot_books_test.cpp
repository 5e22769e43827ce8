// The moves of the books as a table: from each place each verb either leads to the one place that
// docs/core.md names, or is refused.
#include <tidegate/core/slot_books.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::core {
namespace {

using Books = SlotBooks<StdSync>;
using List = Books::List;

enum class BookPlace : std::uint8_t {
  empty,
  wanted,
  being_opened,
  idle,
  out,
  to_check,
  looked_at,
  checking_at_hook,
  being_ended,
  to_retire,
  retiring_at_hook,
};
constexpr int kPlaces = 11;

struct Look {
  const char* name;
  SlotState state;
  List list;
  std::uint32_t empty, opening, retiring, open;
};
const Look& look_of(BookPlace place) {
  static const Look looks[kPlaces] = {
      {"empty", SlotState::empty, List::empty, 1, 0, 0, 0},
      {"wanted", SlotState::opening, List::to_open, 0, 1, 0, 0},
      {"being opened", SlotState::opening, List::none, 0, 1, 0, 0},
      {"idle", SlotState::idle, List::none, 0, 0, 0, 1},
      {"out", SlotState::out, List::none, 0, 0, 0, 1},
      {"to be looked at", SlotState::checking, List::to_check, 0, 0, 0, 1},
      {"looked at", SlotState::checking, List::none, 0, 0, 0, 1},
      {"checking at a hook", SlotState::checking, List::hook_jobs, 0, 0, 0, 1},
      {"being ended", SlotState::retiring, List::none, 0, 0, 1, 0},
      {"to be ended", SlotState::retiring, List::to_retire, 0, 0, 1, 0},
      {"retiring at a hook", SlotState::retiring, List::hook_jobs, 0, 0, 1, 0},
  };
  return looks[static_cast<int>(place)];
}

// One slot, brought to `place` by the moves that lead there.
struct OneSlot {
  explicit OneSlot(BookPlace place) {
    if (place == BookPlace::empty) return;
    if (place == BookPlace::wanted) {
      books.want_opening();
      return;
    }
    books.begin_opening();
    if (place == BookPlace::being_opened) return;
    if (place == BookPlace::idle) {
      books.make_idle(0, SlotState::opening);
      return;
    }
    books.hand_out(0, SlotState::opening);
    if (place == BookPlace::out) return;
    if (place == BookPlace::to_check || place == BookPlace::looked_at ||
        place == BookPlace::checking_at_hook) {
      books.give_to_maintenance(0);
      if (place != BookPlace::to_check) books.take_to_check();
      if (place == BookPlace::checking_at_hook) books.want_hook_job(0);
      return;
    }
    books.begin_retiring(0, SlotState::out);
    if (place == BookPlace::to_retire) books.want_end(0);
    if (place == BookPlace::retiring_at_hook) books.want_hook_job(0);
  }

  SlotStates<StdSync> states{1};
  Books books{states};
};

void expect_at(const OneSlot& slot, BookPlace place) {
  const Look& look = look_of(place);
  EXPECT_EQ(slot.states.get(0), look.state) << look.name;
  EXPECT_EQ(slot.books.list_of(0), look.list) << look.name;
  EXPECT_EQ(slot.books.empty(), look.empty) << look.name;
  EXPECT_EQ(slot.books.opening(), look.opening) << look.name;
  EXPECT_EQ(slot.books.retiring(), look.retiring) << look.name;
  EXPECT_EQ(slot.books.open(), look.open) << look.name;
  EXPECT_EQ(slot.books.can_grow(), look.empty + look.opening > 0) << look.name;
}

struct Verb {
  const char* name;
  std::function<void(Books&)> move;
  std::map<BookPlace, BookPlace> rows;
};

// Of a slot that the caller names: nothing else than its rows may be.
const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"end_opening",
       [](Books& b) { b.end_opening(0); },
       {{BookPlace::being_opened, BookPlace::empty}}},
      {"hand_out, opened",
       [](Books& b) { b.hand_out(0, SlotState::opening); },
       {{BookPlace::being_opened, BookPlace::out}}},
      {"hand_out, looked at",
       [](Books& b) { b.hand_out(0, SlotState::checking); },
       {{BookPlace::looked_at, BookPlace::out}}},
      {"hand_out, out", [](Books& b) { b.hand_out(0, SlotState::out); }, {}},
      {"hand_out, idle", [](Books& b) { b.hand_out(0, SlotState::idle); }, {}},
      {"make_idle, opened",
       [](Books& b) { EXPECT_TRUE(b.make_idle(0, SlotState::opening)); },
       {{BookPlace::being_opened, BookPlace::idle}}},
      {"make_idle, looked at",
       [](Books& b) { EXPECT_TRUE(b.make_idle(0, SlotState::checking)); },
       {{BookPlace::looked_at, BookPlace::idle}}},
      {"make_idle, in hand",
       [](Books& b) { EXPECT_TRUE(b.make_idle(0, SlotState::out)); },
       {{BookPlace::out, BookPlace::idle}}},
      {"give_to_maintenance",
       [](Books& b) { b.give_to_maintenance(0); },
       {{BookPlace::out, BookPlace::to_check}}},
      {"want_check",
       [](Books& b) { b.want_check(0); },
       {{BookPlace::looked_at, BookPlace::to_check}}},
      {"want_hook_job",
       [](Books& b) { b.want_hook_job(0); },
       {{BookPlace::looked_at, BookPlace::checking_at_hook},
        {BookPlace::being_ended, BookPlace::retiring_at_hook}}},
      {"begin_retiring, opened",
       [](Books& b) { b.begin_retiring(0, SlotState::opening); },
       {{BookPlace::being_opened, BookPlace::being_ended}}},
      {"begin_retiring, looked at",
       [](Books& b) { b.begin_retiring(0, SlotState::checking); },
       {{BookPlace::looked_at, BookPlace::being_ended}}},
      {"begin_retiring, out",
       [](Books& b) { b.begin_retiring(0, SlotState::out); },
       {{BookPlace::out, BookPlace::being_ended}}},
      {"begin_retiring, idle", [](Books& b) { b.begin_retiring(0, SlotState::idle); }, {}},
      {"want_end",
       [](Books& b) { b.want_end(0); },
       {{BookPlace::being_ended, BookPlace::to_retire}}},
      {"end_retiring",
       [](Books& b) { b.end_retiring(0); },
       {{BookPlace::being_ended, BookPlace::empty}}},
      {"forget", [](Books& b) { b.forget(0); }, {{BookPlace::out, BookPlace::empty}}},
  };
  return all;
}

TEST(SlotBooks, TheirPlacesAreWhatTheMovesLeadTo) {
  for (int i = 0; i < kPlaces; ++i) {
    const auto place = static_cast<BookPlace>(i);
    expect_at(OneSlot(place), place);
  }
}

TEST(SlotBooks, EachRowLeadsWhereTheTableSays) {
  for (const Verb& verb : verbs()) {
    for (const auto& [from, to] : verb.rows) {
      SCOPED_TRACE(std::string(verb.name) + " from " + look_of(from).name);
      OneSlot slot(from);
      verb.move(slot.books);
      expect_at(slot, to);
    }
  }
}

// Of whatever slot is there: where none is, nothing happens.
TEST(SlotBooks, WhatIsTakenFromAListIsOnNone) {
  struct Take {
    const char* name;
    std::function<bool(Books&)> take;
    std::map<BookPlace, BookPlace> rows;
  };
  const std::vector<Take> takes = {
      {"want_opening",
       [](Books& b) { return b.want_opening(); },
       {{BookPlace::empty, BookPlace::wanted}}},
      {"begin_opening",
       [](Books& b) { return b.begin_opening() == 0; },
       {{BookPlace::empty, BookPlace::being_opened}}},
      {"take_to_open",
       [](Books& b) { return b.take_to_open() == 0; },
       {{BookPlace::wanted, BookPlace::being_opened}}},
      {"take_to_check",
       [](Books& b) { return b.take_to_check() == 0; },
       {{BookPlace::to_check, BookPlace::looked_at}}},
      {"take_hook_job",
       [](Books& b) { return b.take_hook_job() == 0; },
       {{BookPlace::checking_at_hook, BookPlace::looked_at},
        {BookPlace::retiring_at_hook, BookPlace::being_ended}}},
      {"take_to_retire",
       [](Books& b) { return b.take_to_retire() == 0; },
       {{BookPlace::to_retire, BookPlace::being_ended}}},
  };
  for (const Take& take : takes) {
    for (int i = 0; i < kPlaces; ++i) {
      const auto from = static_cast<BookPlace>(i);
      SCOPED_TRACE(std::string(take.name) + " from " + look_of(from).name);
      OneSlot slot(from);
      const auto row = take.rows.find(from);
      EXPECT_EQ(take.take(slot.books), row != take.rows.end());
      expect_at(slot, row != take.rows.end() ? row->second : from);
    }
  }
}

TEST(SlotBooks, WhatWasWantedIsDroppedAndNothingElse) {
  for (int i = 0; i < kPlaces; ++i) {
    const auto from = static_cast<BookPlace>(i);
    OneSlot slot(from);
    slot.books.drop_wanted();
    expect_at(slot, from == BookPlace::wanted ? BookPlace::empty : from);
  }
}

TEST(SlotBooks, ManySlotsAreEachOnTheirOwnList) {
  SlotStates<StdSync> states(5);
  Books books(states);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(books.want_opening());
  EXPECT_EQ(books.begin_opening(), 3u);
  EXPECT_EQ(books.take_to_open(), 2u) << "the last one first";
  books.hand_out(2, SlotState::opening);
  books.begin_retiring(2, SlotState::out);
  EXPECT_EQ(books.empty(), 1u);
  EXPECT_EQ(books.opening(), 3u);
  EXPECT_EQ(books.retiring(), 1u);
  EXPECT_EQ(books.open(), 0u);
  books.drop_wanted();
  EXPECT_EQ(books.empty(), 3u);
  EXPECT_EQ(books.opening(), 1u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(books.want_opening());
  EXPECT_FALSE(books.want_opening());
}

TEST(SlotBooksDeathTest, WhatIsInNoRowIsRefused) {
  for (const Verb& verb : verbs()) {
    for (int i = 0; i < kPlaces; ++i) {
      const auto from = static_cast<BookPlace>(i);
      if (verb.rows.count(from) != 0) continue;
      SCOPED_TRACE(std::string(verb.name) + " from " + look_of(from).name);
      OneSlot slot(from);
      EXPECT_DEATH(verb.move(slot.books), "I2");
    }
  }
}

}  // namespace
}  // namespace tidegate::core
