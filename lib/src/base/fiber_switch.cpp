// The switch itself, for the two machines of docs/platforms.md. glibc's swapcontext() would do the
// same anywhere, but asks the kernel for the signal mask each time: two system calls a wait.
#include "base/fiber_switch.hpp"

#include <cstdint>

#if defined(__x86_64__)

// System V: rbx, rbp, r12 to r15, and the control words of SSE and x87 belong to the caller. The
// first switch to a stack "returns" to tidegate_begin_stack with the entry in r13 and its argument
// in r12; there is no caller for an unwinder to go on to.
asm(R"(
.pushsection .text
.p2align 4
.globl tidegate_switch_stack
.hidden tidegate_switch_stack
.type tidegate_switch_stack, @function
tidegate_switch_stack:
  .cfi_startproc
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  pushq %r12
  .cfi_adjust_cfa_offset 8
  pushq %r13
  .cfi_adjust_cfa_offset 8
  pushq %r14
  .cfi_adjust_cfa_offset 8
  pushq %r15
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %r15
  .cfi_adjust_cfa_offset -8
  popq %r14
  .cfi_adjust_cfa_offset -8
  popq %r13
  .cfi_adjust_cfa_offset -8
  popq %r12
  .cfi_adjust_cfa_offset -8
  popq %rbx
  .cfi_adjust_cfa_offset -8
  popq %rbp
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
.size tidegate_switch_stack, . - tidegate_switch_stack

.p2align 4
.globl tidegate_begin_stack
.hidden tidegate_begin_stack
.type tidegate_begin_stack, @function
tidegate_begin_stack:
  .cfi_startproc
  .cfi_undefined %rip
  movq %r12, %rdi
  callq *%r13
  ud2
  .cfi_endproc
.size tidegate_begin_stack, . - tidegate_begin_stack
.popsection
)");

#elif defined(__aarch64__)

// AAPCS64: x19 to x28, the frame pointer, the link register and d8 to d15 belong to the caller.
asm(R"(
.pushsection .text
.p2align 4
.globl tidegate_switch_stack
.hidden tidegate_switch_stack
.type tidegate_switch_stack, %function
tidegate_switch_stack:
  .cfi_startproc
  hint #34
  sub sp, sp, #160
  .cfi_adjust_cfa_offset 160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  .cfi_adjust_cfa_offset -160
  ret
  .cfi_endproc
.size tidegate_switch_stack, . - tidegate_switch_stack

.p2align 4
.globl tidegate_begin_stack
.hidden tidegate_begin_stack
.type tidegate_begin_stack, %function
tidegate_begin_stack:
  .cfi_startproc
  .cfi_undefined x30
  hint #36
  mov x0, x19
  blr x20
  brk #0
  .cfi_endproc
.size tidegate_begin_stack, . - tidegate_begin_stack
.popsection
)");

#else
#error "tidegate switches stacks on x86-64 and AArch64 only: add the other machine here"
#endif

extern "C" void tidegate_begin_stack() noexcept;

namespace tidegate::detail {

// Lays out what tidegate_switch_stack takes from a stack that was put aside.
void* prepare_stack(void* top, void (*entry)(void*) noexcept, void* argument) noexcept {
  const auto word = [](auto* of) { return reinterpret_cast<std::uintptr_t>(of); };
  auto* const end = static_cast<std::uintptr_t*>(top);
#if defined(__x86_64__)
  constexpr std::uintptr_t kControl = std::uintptr_t{0x037f} << 32 | 0x1f80;  // as a program starts
  // control words, r15, r14, r13, r12, rbx, rbp, the return address; the entry finds its stack as
  // after a call.
  std::uintptr_t* const base = end - 8;
  base[0] = kControl;
  base[1] = base[2] = base[5] = base[6] = 0;
  base[3] = word(entry);
  base[4] = word(argument);
  base[7] = word(&tidegate_begin_stack);
#else
  std::uintptr_t* const base = end - 20;
  for (int i = 0; i < 20; ++i) base[i] = 0;
  base[0] = word(argument);                // x19
  base[1] = word(entry);                   // x20
  base[11] = word(&tidegate_begin_stack);  // x30
#endif
  return base;
}

}  // namespace tidegate::detail
