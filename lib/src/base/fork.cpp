#include <tidegate/base/fork.hpp>
#include <tidegate/base/mutex.hpp>

#include <pthread.h>

#include <new>

namespace tidegate::detail {

// Locked over every fork(), so that the child finds the list whole. Three calls do this, before and
// after the fork, and the compiler cannot see them as one.
struct ForkHook::List {
  List() {
    const int error = ::pthread_atfork([]() TIDEGATE_UNCHECKED { list().mutex.lock(); },
                                       []() TIDEGATE_UNCHECKED { list().mutex.unlock(); },
                                       []() TIDEGATE_UNCHECKED { list().in_child(); });
    if (error != 0) throw std::bad_alloc();
  }
  void in_child() noexcept TIDEGATE_RELEASES(mutex) {
    ++forks_;
    for (const ForkHook* hook = first; hook != nullptr; hook = hook->next_) {
      hook->in_child_(hook->context_);
    }
    mutex.unlock();
  }

  Mutex<> mutex{};
  ForkHook* first TIDEGATE_GUARDED_BY(mutex) = nullptr;
};

std::uint32_t ForkHook::forks_ = 0;

// Never destroyed: objects of static lifetime may end later than this file's statics would.
ForkHook::List& ForkHook::list() {
  static List& all = *new List;
  return all;
}

void ForkHook::begin(Call in_child, void* context) {
  List& all = list();
  const detail::Lock lock(all.mutex);
  in_child_ = in_child;
  context_ = context;
  next_ = all.first;
  if (next_ != nullptr) next_->previous_ = this;
  all.first = this;
}

void ForkHook::end() noexcept {
  if (in_child_ == nullptr) return;
  List& all = list();
  const detail::Lock lock(all.mutex);
  (previous_ != nullptr ? previous_->next_ : all.first) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  in_child_ = nullptr;
}

}  // namespace tidegate::detail
