// Waiters: the FIFO of threads that found nothing, on their own stacks. Guarded by the wait mutex.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include <tidegate/core/sync.hpp>

namespace tidegate::core {

// What a waiter's word is decided to: the outcome (I8), once.
namespace wait_word {
inline constexpr std::uint32_t kTimedOut = 1;
inline constexpr std::uint32_t kCanceled = 2;
inline constexpr std::uint32_t kClosed = 3;
inline constexpr std::uint32_t kRejected = 4;
inline constexpr std::uint32_t kGrant = std::uint32_t{1} << 31;  // | slot

constexpr std::uint32_t grant(std::uint32_t slot) noexcept { return kGrant | slot; }
constexpr bool granted(std::uint32_t word) noexcept { return (word & kGrant) != 0; }
constexpr std::uint32_t slot(std::uint32_t word) noexcept { return word & ~kGrant; }
}  // namespace wait_word

// One waiter. The owner creates the node, pushes it, parks, and leaves only after the word is
// decided and the node is out of the list.
template <class Sync>
struct WaitNode {
  typename Sync::Parker parker{};
  // Guarded by the wait mutex from push to unlink.
  WaitNode* next = nullptr;
  WaitNode* previous = nullptr;
  bool linked = false;
  bool strict = false;                            // its barge window is over
  std::chrono::steady_clock::time_point since{};  // when its acquire began to wait
};

// The list. Every member needs the wait mutex; size() and strict() may also be read without it, as
// numbers of a moment.
template <class Sync>
class WaitList {
 public:
  using Node = WaitNode<Sync>;

  bool empty() const noexcept { return head_ == nullptr; }
  // Any thread may call these two; they are exact under the wait mutex.
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  std::uint32_t strict() const noexcept { return strict_.load(std::memory_order_relaxed); }
  Node* oldest() const noexcept { return head_; }

  void push_back(Node& node) noexcept { link(node, tail_, nullptr); }
  // For a waiter whose granted slot failed its check: the waiter keeps its place in the queue.
  void push_front(Node& node) noexcept { link(node, nullptr, head_); }

  void mark_strict(Node& node) noexcept {
    if (node.strict) return;
    node.strict = true;
    if (node.linked) change(strict_, 1);
  }

  void unlink(Node& node) noexcept {
    if (!node.linked) return;
    (node.previous != nullptr ? node.previous->next : head_) = node.next;
    (node.next != nullptr ? node.next->previous : tail_) = node.previous;
    node.next = node.previous = nullptr;
    node.linked = false;
    change(size_, -1);
    if (node.strict) change(strict_, -1);
  }

  // Takes nodes out, oldest first, until one accepts `word`; null when none does. Nodes that refuse
  // have decided for themselves (timed out, canceled) and are on their way out.
  Node* decide_oldest(std::uint32_t word) noexcept {
    while (Node* node = head_) {
      unlink(*node);
      if (node->parker.decide(word)) return node;
    }
    return nullptr;
  }

 private:
  void link(Node& node, Node* previous, Node* next) noexcept {
    node.previous = previous;
    node.next = next;
    (previous != nullptr ? previous->next : head_) = &node;
    (next != nullptr ? next->previous : tail_) = &node;
    node.linked = true;
    change(size_, 1);
    if (node.strict) change(strict_, 1);
  }

  // One writer at a time, so no read-modify-write; relaxed: each is a number, and carries nothing.
  using Count = std::atomic<std::uint32_t>;
  static void change(Count& count, int by) noexcept {
    count.store(count.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(by),
                std::memory_order_relaxed);
  }

  Node* head_ = nullptr;
  Node* tail_ = nullptr;
  Count size_{0};
  Count strict_{0};
};

}  // namespace tidegate::core
