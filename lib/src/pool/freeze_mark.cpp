#include "pool/freeze_mark.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <ctime>
#include <new>

namespace tidegate::detail {

constinit std::atomic<std::uint64_t> FreezeMark::mark_{kNone};

#if defined(TIDEGATE_HAS_RSEQ)
namespace {

// A critical section that no thread is ever in: it begins at an address where there is no code. The
// kernel requires the signature in front of the address where it would go on after an abort.
struct Section {
  struct rseq_cs head;
  std::uint32_t signature;
  std::uint32_t after_abort;
};
static_assert(offsetof(Section, after_abort) == offsetof(Section, signature) + 4);

// Never freed, and outside the library's own data: the kernel reads it whenever a thread with a
// mark comes back, which may be after the library was unloaded. 0: no memory.
std::uint64_t make_section() noexcept {
  void* page =
      ::mmap(nullptr, sizeof(Section), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 0;
  auto* section = new (page) Section{};
  section->head.start_ip = reinterpret_cast<std::uintptr_t>(page);
  section->head.post_commit_offset = 1;
  section->head.abort_ip = reinterpret_cast<std::uintptr_t>(&section->after_abort);
  section->signature = RSEQ_SIG;
  return reinterpret_cast<std::uintptr_t>(page);
}

std::uint64_t the_section() noexcept {
  static const std::uint64_t section = make_section();
  return section;
}

}  // namespace

void FreezeMark::leave() noexcept {
  // [freeze-mark] acquire; pairs with the release in find_out(). Carries: the section, which the
  // kernel reads on this processor.
  const std::uint64_t mark = mark_.load(std::memory_order_acquire);
  if (mark == kNone || static_cast<std::int32_t>(area()->cpu_id) < 0) return;  // not registered
  *place() = mark;
}

// The first caller tries. Not a once_flag: in a child it might never be set.
void FreezeMark::find_out() noexcept {
  static std::atomic<bool> begun{false};
  if (begun.exchange(true, std::memory_order_relaxed)) return;
  const std::uint64_t mark = the_section();
  if (mark == 0 || static_cast<std::int32_t>(area()->cpu_id) < 0) return;
  *place() = mark;
  const timespec instant{.tv_sec = 0, .tv_nsec = 100'000};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &instant, nullptr);
  const bool taken = *place() != mark;
  *place() = 0;
  std::uint64_t none = kNone;
  // [freeze-mark] release. Does not overwrite a stand_in().
  if (taken) mark_.compare_exchange_strong(none, mark, std::memory_order_release);
}

void FreezeMark::stand_in() noexcept {
  mark_.store(the_section(), std::memory_order_release);
  *place() = the_section();
}
#else
void FreezeMark::leave() noexcept {}
void FreezeMark::find_out() noexcept {}
void FreezeMark::stand_in() noexcept {}
#endif

}  // namespace tidegate::detail
