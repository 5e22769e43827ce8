#include "base/fiber.hpp"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/fiber_switch.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define TIDEGATE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TIDEGATE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TIDEGATE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDEGATE_TSAN 1
#endif
#endif
#if defined(TIDEGATE_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(TIDEGATE_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace tidegate::detail {
namespace {

// The pages of a stack are had when they are touched: a statement touches some 12 KiB of it. What a
// callback of the user (each(), a notice handler) may need on it is why it is not smaller.
constexpr std::size_t kStack = std::size_t{256} * 1024;
// Stacks that are kept for the next fiber. As many statements run at once as a pool has
// connections.
constexpr std::size_t kKept = 64;

thread_local constinit Fiber* current_fiber __attribute__((tls_model("initial-exec"))) = nullptr;

std::size_t page() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

// The stacks that no fiber has.
class Stacks {
 public:
  Stacks() { free_.reserve(kKept); }
  ~Stacks() {
    for (void* stack : free_) ::munmap(stack, kStack);
  }
  void* take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        void* const stack = free_.back();
        free_.pop_back();
        return stack;
      }
    }
    void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    if (::mprotect(stack, page(), PROT_NONE) != 0) {  // a stack that is too deep faults here
      ::munmap(stack, kStack);
      throw std::bad_alloc();
    }
    return stack;
  }
  void give_back(void* stack) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (free_.size() < kKept) return free_.push_back(stack);  // reserved: does not throw
    }
    ::munmap(stack, kStack);
  }

 private:
  std::mutex mutex_;
  std::vector<void*> free_{};
};

// Never destroyed: a fiber of a static object may end after every other static.
Stacks& stacks() {
  static Stacks& all = *new Stacks();
  return all;
}

}  // namespace

// The runtime's record of a thread: the handled exceptions, a list, and the number in flight (the
// Itanium C++ ABI names no more, and both g++'s and clang++'s runtime have just these two).
void Fiber::Handled::swap() noexcept {
  auto* const record = reinterpret_cast<char*>(abi::__cxa_get_globals());
  Handled now;
  std::memcpy(&now.caught, record, sizeof now.caught);
  std::memcpy(&now.uncaught, record + sizeof now.caught, sizeof now.uncaught);
  std::memcpy(record, &caught, sizeof caught);
  std::memcpy(record + sizeof caught, &uncaught, sizeof uncaught);
  *this = now;
}

Fiber::Fiber(Body body, void* context) : body_(body), context_(context), stack_(stacks().take()) {
  own_ = prepare_stack(static_cast<char*>(stack_) + kStack, &Fiber::enter, this);
#if defined(TIDEGATE_TSAN)
  sanitizer_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(TIDEGATE_TSAN)
  __tsan_destroy_fiber(sanitizer_);
#endif
  stacks().give_back(stack_);
}

Fiber* Fiber::current() noexcept {
  Fiber* const fiber = current_fiber;
  return fiber != nullptr && !fiber->blocks_ ? fiber : nullptr;
}

bool Fiber::interrupted_here() noexcept {
  const Fiber* const fiber = current_fiber;
  return fiber != nullptr && fiber->interrupted_;
}

bool Fiber::resume(Waited waited, short seen) noexcept {
  waited_ = waited;
  seen_ = seen;
  state_ = State::runs;
  outside_ = std::exchange(current_fiber, this);
  handled_.swap();
#if defined(TIDEGATE_TSAN)
  outer_sanitizer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(sanitizer_, 0);
#elif defined(TIDEGATE_ASAN)
  __sanitizer_start_switch_fiber(&outer_sanitizer_, static_cast<char*>(stack_) + page(),
                                 kStack - page());
#endif
  tidegate_switch_stack(&outer_, own_);
#if defined(TIDEGATE_ASAN)
  __sanitizer_finish_switch_fiber(outer_sanitizer_, nullptr, nullptr);
#endif
  handled_.swap();
  current_fiber = outside_;
  return state_ == State::waits;
}

// The fiber's way back to whoever runs it. Nothing of the thread may be touched after it: another
// one may have resumed the fiber.
void Fiber::leave() noexcept {
#if defined(TIDEGATE_TSAN)
  __tsan_switch_to_fiber(outer_sanitizer_, 0);
#elif defined(TIDEGATE_ASAN)
  __sanitizer_start_switch_fiber(state_ == State::returned ? nullptr : &sanitizer_, outer_bottom_,
                                 outer_size_);
#endif
  tidegate_switch_stack(&own_, outer_);
#if defined(TIDEGATE_ASAN)
  __sanitizer_finish_switch_fiber(sanitizer_, &outer_bottom_, &outer_size_);
#endif
}

void Fiber::enter(void* fiber) noexcept {
  auto& self = *static_cast<Fiber*>(fiber);
#if defined(TIDEGATE_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &self.outer_bottom_, &self.outer_size_);
#endif
  self.body_(self.context_);
  self.state_ = State::returned;
  self.leave();
  __builtin_unreachable();
}

Waited Fiber::await(const FiberWait& wait, short& seen) noexcept {
  if (interrupted_ && wait.wake_fd != -1) return Waited::woken;
  wait_ = wait;
  state_ = State::waits;
  leave();
  seen = seen_;
  return waited_;
}

}  // namespace tidegate::detail
