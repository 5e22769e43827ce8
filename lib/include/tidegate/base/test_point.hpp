// Named points where a test can hold, delay or count a thread. Nothing in release builds.
#pragma once

#include <atomic>

#include <tidegate/base/export.hpp>

namespace tidegate::detail {

// What a checked build calls at every test point; null = nothing. Set it while no pool is in use.
using TestPointHook = void (*)(const char* name) noexcept;
TIDEGATE_API extern std::atomic<TestPointHook> test_point_hook;

inline void test_point(const char* name) noexcept {
  // Acquire: pairs with the test's store; carries whatever the hook reads.
  if (const TestPointHook hook = test_point_hook.load(std::memory_order_acquire)) hook(name);
}

}  // namespace tidegate::detail

#if defined(TIDEGATE_CHECKED)
#define TIDEGATE_TEST_POINT(name) ::tidegate::detail::test_point(name)
#else
#define TIDEGATE_TEST_POINT(name) static_cast<void>(0)
#endif
