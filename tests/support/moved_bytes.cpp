#include <support/moved_bytes.hpp>

#if !defined(TIDEGATE_TEST_SANITIZED)
#include <dlfcn.h>

#include <atomic>
#include <cstdint>

namespace tidegate::test {
namespace {

constinit std::atomic<bool> counting{false};
constinit std::atomic<std::size_t> moved{0};

using Move = void* (*)(void*, const void*, std::size_t);
constinit std::atomic<Move> of_the_library{nullptr};
[[gnu::constructor]] void look_up() {
  of_the_library = reinterpret_cast<Move>(::dlsym(RTLD_NEXT, "memmove"));
}

// Until that is known. Volatile, or the compiler would see a memmove() in it.
void move_by_hand(volatile unsigned char* to, const volatile unsigned char* from,
                  std::size_t size) noexcept {
  if (reinterpret_cast<std::uintptr_t>(to) < reinterpret_cast<std::uintptr_t>(from)) {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  } else {
    for (std::size_t i = size; i-- > 0;) to[i] = from[i];
  }
}

}  // namespace

MovedBytes::MovedBytes() noexcept {
  moved = 0;
  counting = true;
}
MovedBytes::~MovedBytes() { counting = false; }
std::size_t MovedBytes::so_far() const noexcept { return moved; }

}  // namespace tidegate::test

extern "C" void* memmove(void* to, const void* from, std::size_t size) {
  using namespace tidegate::test;
  if (size >= MovedBytes::kLarge && counting.load(std::memory_order_relaxed)) {
    moved.fetch_add(size, std::memory_order_relaxed);
  }
  if (const Move move = of_the_library.load(std::memory_order_relaxed)) return move(to, from, size);
  move_by_hand(static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), size);
  return to;
}
#endif
