// expect_to_change(): asks the processor for a cache line that is about to be read and then
// changed.
#pragma once

namespace tidegate {

// Where another core has changed the line last it comes from there once, to be written; a load
// would fetch a copy to read, and the change would have to ask that core again. Does nothing else:
// any address will do.
inline void expect_to_change(const void* line) noexcept {
#if defined(__x86_64__)
  // Not the builtin, which asks for a copy to read unless the program is built for newer
  // processors; older ones take this for a no-op.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#else
  __builtin_prefetch(line, 1);
#endif
}

}  // namespace tidegate
