// tidegate-models: the core inside Relacy, one scenario at a time. scripts/model builds and runs
// it.
//
//   tidegate-models --list                              "scenario NAME SCHEDULER...",
//                                                       "mutant NAME SCENARIO SCHEDULER"
//   tidegate-models SCENARIO SCHEDULER COUNT [MUTANT]   SCHEDULER: random | sequential | bound
//
// random, sequential: COUNT runs with random turns; in a sequential one no load sees an old value.
// bound: every run with at most COUNT turns that nothing forces. Ends with 0 when nothing was
// found, and prints "N runs"; with 1 after the history of a failed run; with 2 after wrong usage.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

#include <models/relacy.hpp>

#include <models/scenarios.hpp>
#include <tidegate/base/assert.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/idle_queue.hpp>

namespace {

struct Mutant {
  const char* name;
  const char* caught_by;  // "SCENARIO SCHEDULER"
};
constexpr Mutant kMutants[] = {
    {"", ""},
#if __has_include(<models/mutants.inc>)
#include <models/mutants.inc>
#endif
};

const tidegate::models::Scenario* chosen = nullptr;

}  // namespace

// Relacy replaces the plain forms only, and has a heap of its own.
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { ::operator delete[](memory); }

// ---- what the core is linked with: as the library's, but inside Relacy ------------------------

namespace tidegate::detail {

void invariant_broken(const char* invariant, const char* condition, const char* file,
                      int line) noexcept {
  static char text[256];
  std::snprintf(text, sizeof text, "%s: %s", invariant, condition);
  rl::ctx().fail_test(text, rl::test_result_user_assert_failed,
                      rl::debug_info("", file, static_cast<unsigned>(line)));
  std::abort();  // not reached
}

std::atomic<TestPointHook> test_point_hook{nullptr};

}  // namespace tidegate::detail

namespace tidegate::core {

std::int32_t detail::ask_thread_id() noexcept { return 1; }

// The queue may refuse and may say "empty" whenever it likes, and orders no memory: the slot states
// are the truth, and carry what there is to carry.
struct IdleQueue::Impl {
  static bool unlucky() { return !models::Run::exhaustive && rl::rand(4) == 3; }
  std::array<std::uint32_t, models::ModelPool::kSlots> slots{};
  std::uint32_t size = 0;
};
IdleQueue::IdleQueue(std::uint32_t, std::uint32_t) : impl_(std::make_unique<Impl>()) {}
IdleQueue::~IdleQueue() = default;
bool IdleQueue::try_enqueue(std::uint32_t slot, std::uint32_t) noexcept {
  models::check(impl_->size < impl_->slots.size(), "I2: a slot has two entries in the queue");
  if (Impl::unlucky()) return false;
  impl_->slots[impl_->size++] = slot;
  return true;
}
bool IdleQueue::try_dequeue(std::uint32_t& slot) noexcept {
  if (impl_->size == 0 || Impl::unlucky()) return false;
  slot = impl_->slots[0];
  std::copy(impl_->slots.begin() + 1, impl_->slots.end(), impl_->slots.begin());
  --impl_->size;
  return true;
}

}  // namespace tidegate::core

namespace tidegate::models {
namespace {

struct Suite : rl::test_suite<Suite, kThreads> {
  void before() {
    const PlainHeap heap;
    RelacySync::shift = chosen->dock_shift;
    pool_ = std::make_unique<ModelPool>(chosen->limits, chosen->idle);
    for (int i = 0; i < chosen->leased; ++i) {
      RelacySync::acting_as = i;
      leases_[i] = pool_->acquire(Deadline::now()).ticket;
    }
    RelacySync::acting_as = -1;
  }
  void thread(unsigned index) { chosen->thread(*pool_, static_cast<int>(index), leases_[index]); }
  void after() {
    const PlainHeap heap;
    pool_->finish();
    pool_.reset();
  }

 private:
  std::unique_ptr<ModelPool> pool_;
  Ticket leases_[kThreads];
};

void note_fence(const char* name) noexcept {
  if (std::strcmp(name, "close.fenced") == 0) Run::fenced = true;
}

int wrong_usage(const char* what, const char* value) {
  std::cerr << "tidegate-models: " << what << " '" << value << "'; see stress/models/main.cpp\n";
  return 2;
}

int list() {
  for (const Scenario& scenario : kScenarios) {
    std::cout << "scenario " << scenario.name << " random sequential"
              << (scenario.timed ? "" : " bound") << '\n';
  }
  for (const Mutant& mutant : kMutants) {
    if (*mutant.name != 0) std::cout << "mutant " << mutant.name << ' ' << mutant.caught_by << '\n';
  }
  return 0;
}

int run(int argc, char** argv) {
  const auto* const scenario =
      std::find_if(kScenarios.begin(), kScenarios.end(),
                   [&](const Scenario& each) { return each.name == argv[1]; });
  if (scenario == kScenarios.end()) return wrong_usage("no such scenario", argv[1]);
  chosen = scenario;

  rl::test_params params;
  rl::ostringstream output;  // on a heap of its own
  params.output_stream = params.progress_stream = &output;
  params.execution_depth_limit = 20000;
  const auto count = std::strtoul(argv[3], nullptr, 10);
  if (std::strcmp(argv[2], "bound") == 0 && !chosen->timed) {
    params.search_type = rl::sched_bound;
    params.context_bound = static_cast<unsigned>(count);
  } else if (std::strcmp(argv[2], "random") == 0 || std::strcmp(argv[2], "sequential") == 0) {
    params.search_type = rl::sched_random;
    params.iteration_count = count;
  } else {
    return wrong_usage("no such scheduler for this scenario:", argv[2]);
  }
  Run::exhaustive = params.search_type == rl::sched_bound;
  Run::sequential = std::strcmp(argv[2], "random") != 0;
  if (argc == 5) {
    const auto* const mutant =
        std::find_if(std::begin(kMutants), std::end(kMutants),
                     [&](const Mutant& each) { return std::strcmp(each.name, argv[4]) == 0; });
    if (mutant == std::end(kMutants)) return wrong_usage("no such mutant", argv[4]);
    Run::mutant = static_cast<unsigned>(mutant - std::begin(kMutants));
  }

  tidegate::detail::test_point_hook = note_fence;
  if (rl::simulate<Suite>(params)) {
    std::cout << params.stop_iteration << " runs\n";
    return 0;
  }
  std::cout << output.str() << "failed in run " << params.stop_iteration << '\n';
  return 1;
}

}  // namespace
}  // namespace tidegate::models

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return tidegate::models::list();
  if (argc != 4 && argc != 5) return tidegate::models::wrong_usage("arguments, not", argv[0]);
  return tidegate::models::run(argc, argv);
}
