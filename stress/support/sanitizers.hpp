// What this build is instrumented with.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define TIDEGATE_STRESS_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define TIDEGATE_STRESS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDEGATE_STRESS_TSAN 1
#elif __has_feature(address_sanitizer)
#define TIDEGATE_STRESS_ASAN 1
#endif
#endif

namespace tidegate::stress {

#if defined(TIDEGATE_STRESS_TSAN)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#if defined(TIDEGATE_STRESS_ASAN)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
inline constexpr bool kSanitized = kThreadSanitizer || kAddressSanitizer;

// Has `report` called when a sanitizer is about to end the process. Nothing without sanitizers.
void on_sanitizer_finding(void (*report)());

// "TSan g++ 12.2.0", for the first line of a run.
const char* build_description();

}  // namespace tidegate::stress
