// What fork() means for objects whose threads and sockets stay with the parent.
#pragma once

#include <cstdint>

#include <tidegate/base/export.hpp>

namespace tidegate::detail {

// As long as it lives, `in_child(context)` is called in every child, before fork() returns there.
//
// The child has one thread; all others have stopped where they were, some in the middle of a change
// or with a mutex locked for ever. So in_child takes no lock, looks only at what is whole at every
// moment, and neither makes nor ends a ForkHook. Let it be the last member of its object.
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

  // Throws: std::bad_alloc. Needs: it has not begun.
  void begin(Call in_child, void* context);
  // Idempotent.
  void end() noexcept;

  // Changes in a child: what was made under another number was inherited. (Forks that call no
  // handlers, such as vfork() and a bare clone(), are not seen.)
  static std::uint32_t forks() noexcept { return forks_; }

 private:
  struct List;
  static List& list();

  // Written in a child while it has one thread.
  static std::uint32_t forks_;

  Call in_child_ = nullptr;  // null: it has not begun, or has ended
  void* context_ = nullptr;
  ForkHook* previous_ = nullptr;  // the list's mutex
  ForkHook* next_ = nullptr;      // the list's mutex
};

}  // namespace tidegate::detail
