#include <support/call_counter.hpp>

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace tidegate::test {
namespace {

struct Counts {
  bool on = false;
  std::size_t allocations = 0;
  std::size_t locks = 0;
};
constinit thread_local Counts counts;
[[maybe_unused]] std::atomic<bool> no_threads{false};
[[maybe_unused]] std::atomic<int> threads_refused{0};

void count_allocation() noexcept {
  if (counts.on) ++counts.allocations;
}

// Until the one that fails; negative: none, or it has failed already.
[[maybe_unused]] std::atomic<std::int64_t> until_failure{-1};
[[maybe_unused]] std::atomic<bool> later_ones_fail{false};
[[maybe_unused]] std::atomic<bool> failure_happened{false};
[[maybe_unused]] std::atomic<std::size_t> live{0};

// Counts an allocation; true: it is to fail.
[[maybe_unused]] bool is_refused() noexcept {
  count_allocation();
  if (failure_happened && later_ones_fail) return true;
  if (until_failure.load(std::memory_order_relaxed) < 0) return false;
  if (until_failure.fetch_sub(1) != 1) return false;
  failure_happened = true;
  return true;
}

[[maybe_unused]] void* counted(void* memory) noexcept {
  if (memory != nullptr) live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

[[maybe_unused]] void* refused() noexcept {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

CallCounter::CallCounter() noexcept { counts = {.on = true}; }
CallCounter::~CallCounter() { counts.on = false; }
std::size_t CallCounter::allocations() const noexcept { return counts.allocations; }
std::size_t CallCounter::locks() const noexcept { return counts.locks; }

#if !defined(TIDEGATE_TEST_SANITIZED)
FailedAllocation::FailedAllocation(std::size_t nth, Then then) noexcept : nth_(nth), then_(then) {
  begin();
}
void FailedAllocation::begin() noexcept {
  failure_happened = false;
  later_ones_fail = then_ == Then::all_fail;
  until_failure = static_cast<std::int64_t>(nth_);
}
void FailedAllocation::end() noexcept {
  until_failure = -1;
  later_ones_fail = false;
}
bool FailedAllocation::happened() const noexcept { return failure_happened; }

std::size_t live_allocations() noexcept { return live.load(std::memory_order_relaxed); }

NoThreads::NoThreads() noexcept {
  threads_refused = 0;
  no_threads = true;
}
NoThreads::~NoThreads() { no_threads = false; }
int NoThreads::refused() const noexcept { return threads_refused; }
#endif

}  // namespace tidegate::test

#if defined(TIDEGATE_TEST_SANITIZED)

// The sanitizers own malloc, and offer hooks.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           std::size_t),
                                                         void (*on_free)(const volatile void*));

namespace {
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { tidegate::test::count_allocation(); },
    [](const volatile void*) {});
}  // namespace

#else

// Defined here, these come before the C library's for the whole program.
extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void __libc_free(void*);

void* malloc(std::size_t size) noexcept {
  using namespace tidegate::test;
  return is_refused() ? refused() : counted(__libc_malloc(size));
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  using namespace tidegate::test;
  return is_refused() ? refused() : counted(__libc_calloc(count, size));
}
void* realloc(void* memory, std::size_t size) noexcept {
  using namespace tidegate::test;
  if (memory == nullptr) return malloc(size);
  if (size == 0) {
    free(memory);
    return nullptr;
  }
  return is_refused() ? refused() : __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  using namespace tidegate::test;
  return is_refused() ? refused() : counted(__libc_memalign(alignment, size));
}
void free(void* memory) noexcept {
  if (memory != nullptr) tidegate::test::live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(memory);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  *memory = memalign(alignment, size);
  return *memory != nullptr ? 0 : ENOMEM;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  using Lock = int (*)(pthread_mutex_t*);
  static const Lock next = reinterpret_cast<Lock>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  if (tidegate::test::counts.on) ++tidegate::test::counts.locks;
  return next(mutex);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const Create next = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (tidegate::test::no_threads) {
    ++tidegate::test::threads_refused;
    return EAGAIN;
  }
  return next(thread, attributes, body, argument);
}

}  // extern "C"

#endif
