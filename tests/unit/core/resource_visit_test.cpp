// ResourceCore::visit(): looking at resources that others own.
#include <tidegate/core/resource_pool.hpp>

#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace tidegate::core {
namespace {

// Reading one that has been moved from, or is gone, is seen here or by a sanitizer.
struct Numbered {
  std::unique_ptr<int> number;
};
using Core = ResourceCore<Numbered>;

class ResourceVisit : public testing::Test {
 protected:
  Ticket take() {
    EXPECT_TRUE(core_->create_here({}, Deadline::never()));
    const Entered entered = core_->slots().enter();
    Search search;
    const Found found = core_->acquire(entered, search, [](const Found&) { return Checked::use; });
    EXPECT_FALSE(found.error);
    core_->begin_lease(found.ticket, Location::current());
    return found.ticket;
  }
  void finish_retired() {
    while (const auto slot = core_->slots().take_to_retire()) core_->finish(*slot);
  }
  // What a visit of the slot reads; -1 when there is nothing.
  int read(std::uint32_t slot) const {
    int number = -1;
    core_->visit(slot, [&](const Numbered& numbered, const Slot&) { number = *numbered.number; });
    return number;
  }

  struct Unref {
    void operator()(Core* core) const noexcept { core->unref(); }
  };
  int made_ = 0;
  std::unique_ptr<Core, Unref> core_{
      Core::make({.max_size = 2}, {.max_threads = 1},
                 {.create = [this](const std::stop_token&, Deadline) -> Expected<Numbered> {
                   return Numbered{std::make_unique<int>(made_++)};
                 }})};
};

TEST_F(ResourceVisit, FindsAResourceInUseWithItsLeaseRecord) {
  const Ticket ticket = take();
  std::int32_t holder = 0;
  EXPECT_TRUE(core_->visit(ticket.slot(), [&](const Numbered& numbered, const Slot& slot) {
    EXPECT_EQ(*numbered.number, 0);
    holder = slot.holder();
  }));
  EXPECT_EQ(holder, current_thread_id());
  core_->release(ticket);
}

TEST_F(ResourceVisit, FindsNothingInASlotWhoseResourceWasHijackedOrEnded) {
  const Ticket hijacked = take();
  EXPECT_EQ(read(hijacked.slot()), 0);
  EXPECT_EQ(*core_->hijack(hijacked).number, 0);
  EXPECT_EQ(read(hijacked.slot()), -1);
  const Ticket discarded = take();
  core_->discard(discarded, Retired::broken);
  EXPECT_EQ(read(discarded.slot()), 1);  // on its way out, and still there
  finish_retired();
  EXPECT_EQ(read(discarded.slot()), -1);
}

// A slot may be emptied and filled at any moment of the visit but while f runs.
TEST_F(ResourceVisit, NeverSeesAResourceComeOrGo) {
  std::atomic<bool> over{false};
  std::atomic<int> seen{0};
  std::thread visitor([&] {
    while (!over) {
      for (std::uint32_t slot = 0; slot < 2; ++slot) {
        core_->visit(slot, [&](const Numbered& numbered, const Slot&) {
          ASSERT_NE(numbered.number, nullptr);
          seen = *numbered.number;
        });
      }
    }
  });
  constexpr int kRounds = 500;
  for (int i = 0; i < kRounds || seen == 0; ++i) {
    const Ticket ticket = take();
    if (i % 2 == 0) {
      EXPECT_EQ(*core_->hijack(ticket).number, i);
    } else {
      core_->discard(ticket, Retired::broken);
      finish_retired();
    }
  }
  over = true;
  visitor.join();
}

}  // namespace
}  // namespace tidegate::core
