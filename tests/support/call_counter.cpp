#include <support/call_counter.hpp>

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
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

}  // namespace

CallCounter::CallCounter() noexcept { counts = {.on = true}; }
CallCounter::~CallCounter() { counts.on = false; }
std::size_t CallCounter::allocations() const noexcept { return counts.allocations; }
std::size_t CallCounter::locks() const noexcept { return counts.locks; }

#if !defined(TIDEGATE_TEST_SANITIZED)
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

void* malloc(std::size_t size) noexcept {
  tidegate::test::count_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  tidegate::test::count_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  tidegate::test::count_allocation();
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  tidegate::test::count_allocation();
  return __libc_memalign(alignment, size);
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
