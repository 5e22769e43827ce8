// What fork() means for objects whose threads and sockets stay with the parent.
#pragma once

#include <cstdint>

#include <tidegate/base/export.hpp>

namespace tidegate::detail {

// While a ForkHook lives, every child calls `in_child(context)` before fork() returns there.
//
// The child has one thread; all others have stopped where they were, some in the middle of a change
// or with a mutex locked for ever. So in_child takes no lock, looks only at data that is whole at
// every moment, and neither makes nor ends a ForkHook. Make the hook the last member of its object.
class TIDEGATE_API ForkHook {
 public:
  using Call = void (*)(void* context) noexcept;

  // Does nothing until begin().
  ForkHook() noexcept = default;
  // Throws: std::bad_alloc.
  ForkHook(Call in_child, void* context) { begin(in_child, context); }
  ~ForkHook() { end(); }
  ForkHook(const ForkHook&) = delete;
  ForkHook& operator=(const ForkHook&) = delete;

  // Throws: std::bad_alloc. Needs: the hook has not begun.
  void begin(Call in_child, void* context);
  // Idempotent.
  void end() noexcept;

  // Changes in a child: an object made under another number was inherited. (Forks that call no
  // handlers, such as vfork() and a bare clone(), are not seen.)
  static std::uint32_t forks() noexcept { return forks_; }

 private:
  struct List;
  static List& list();

  // Written in a child while it has one thread.
  static std::uint32_t forks_;

  Call in_child_ = nullptr;  // null: the hook has not begun, or has ended
  void* context_ = nullptr;
  ForkHook* previous_ = nullptr;  // the list's mutex
  ForkHook* next_ = nullptr;      // the list's mutex
};

}  // namespace tidegate::detail
