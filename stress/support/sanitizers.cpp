#include "support/sanitizers.hpp"

#if defined(TIDEGATE_STRESS_TSAN) || defined(TIDEGATE_STRESS_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

// Defaults; TSAN_OPTIONS and ASAN_OPTIONS of the environment go first. The first finding ends the
// run: what follows it is noise. A memory error is a broken invariant (I5), hence its status.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:exitcode=66"
#if defined(__clang__)
         // Debian's clang asks for a symbolizer of its own version, which comes with llvm only.
         ":external_symbolizer_path=/usr/bin/addr2line"
#endif
      ;
}
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:exitcode=70";
}

namespace tidegate::stress {

void on_sanitizer_finding([[maybe_unused]] void (*report)()) {
#if defined(TIDEGATE_STRESS_TSAN) || defined(TIDEGATE_STRESS_ASAN)
  __sanitizer_set_death_callback(report);
#endif
}

#if defined(__clang__)
#define TIDEGATE_STRESS_COMPILER "clang++ " __clang_version__
#else
#define TIDEGATE_STRESS_COMPILER "g++ " __VERSION__
#endif
#if defined(TIDEGATE_CHECKED)
#define TIDEGATE_STRESS_CHECKED ", test points"
#else
#define TIDEGATE_STRESS_CHECKED ", no test points"
#endif

const char* build_description() {
  if (kThreadSanitizer) return "ThreadSanitizer, " TIDEGATE_STRESS_COMPILER TIDEGATE_STRESS_CHECKED;
  if (kAddressSanitizer) {
    return "AddressSanitizer, " TIDEGATE_STRESS_COMPILER TIDEGATE_STRESS_CHECKED;
  }
  return "plain, " TIDEGATE_STRESS_COMPILER TIDEGATE_STRESS_CHECKED;
}

}  // namespace tidegate::stress
