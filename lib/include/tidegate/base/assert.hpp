// TIDEGATE_ASSERT: a broken invariant ends the process and names itself.
#pragma once

#include <tidegate/base/export.hpp>

namespace tidegate::detail {
[[noreturn]] TIDEGATE_API void invariant_broken(const char* invariant, const char* condition,
                                                const char* file, int line) noexcept;
}

// TIDEGATE_ASSERT(I2, claimed): checks an invariant of docs/core.md where it is cheap enough to
// be always on (slow paths). TIDEGATE_DEBUG_ASSERT: the same, in debug, test and sanitizer builds
// only.
#define TIDEGATE_ASSERT(invariant, condition) \
  ((condition) ? static_cast<void>(0)         \
               : ::tidegate::detail::invariant_broken(#invariant, #condition, __FILE__, __LINE__))

#if defined(NDEBUG) && !defined(TIDEGATE_CHECKED)
#define TIDEGATE_DEBUG_ASSERT(invariant, condition) static_cast<void>(0)
#else
#define TIDEGATE_DEBUG_ASSERT(invariant, condition) TIDEGATE_ASSERT(invariant, condition)
#endif
