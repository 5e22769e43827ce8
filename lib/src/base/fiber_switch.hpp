// Switching stacks: what a call must keep, and the stack pointer.
#pragma once

#include <cstddef>

namespace tidegate::detail {

// Puts the calling stack aside in `*from`, and goes on where the stack `to` was put aside; returns
// when somebody switches back. Any thread may do so.
extern "C" void tidegate_switch_stack(void** from, void* to) noexcept;
// Prepares a stack that ends at `top` (16 bytes aligned) for a first switch, which calls
// entry(argument). The entry must never return.
void* prepare_stack(void* top, void (*entry)(void*) noexcept, void* argument) noexcept;

}  // namespace tidegate::detail
