#include "support/crowd.hpp"

#include <atomic>
#include <vector>

namespace tidegate::stress {

std::uint32_t threads_to_be_had(std::uint32_t wanted, std::size_t stack) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  if (stack != 0) ::pthread_attr_setstacksize(&attributes, stack);
  std::atomic<bool> over{false};
  const auto stay = [](void* argument) -> void* {
    static_cast<std::atomic<bool>*>(argument)->wait(false);
    return nullptr;
  };
  std::vector<pthread_t> threads;
  threads.reserve(wanted);
  pthread_t thread{};
  while (threads.size() < wanted && ::pthread_create(&thread, &attributes, stay, &over) == 0) {
    threads.push_back(thread);
  }
  over = true;
  over.notify_all();
  for (const pthread_t one : threads) ::pthread_join(one, nullptr);
  ::pthread_attr_destroy(&attributes);
  return static_cast<std::uint32_t>(threads.size());
}

}  // namespace tidegate::stress
