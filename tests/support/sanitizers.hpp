// TIDEGATE_TEST_SANITIZED: this program runs under AddressSanitizer or ThreadSanitizer.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIDEGATE_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIDEGATE_TEST_SANITIZED 1
#endif
#endif

namespace tidegate::test {
#if defined(TIDEGATE_TEST_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
}  // namespace tidegate::test
