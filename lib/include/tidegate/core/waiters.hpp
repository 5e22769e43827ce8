// Waiters: the FIFO of acquires that found nothing: threads, on their own stacks, and acquires that
// are called back. Guarded by the wait mutex.
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

// One waiter. The owner creates the node, pushes it, parks or goes away to be called back, and
// leaves only after the word is decided and the node is out of the list.
template <class Sync>
struct WaitNode {
  typename Sync::Parker parker{};
  // Null: a thread parks here. Otherwise whoever decides the word (but the owner) calls this, once
  // and as the last touch of the node, without a lock of the core. Set before push.
  void (*called_back)(WaitNode&) noexcept = nullptr;
  void* owner = nullptr;  // for that function
  // Guarded by the wait mutex from push to unlink.
  WaitNode* next = nullptr;
  WaitNode* previous = nullptr;
  bool linked = false;
  bool strict = false;                            // its barge window is over
  std::chrono::steady_clock::time_point since{};  // when its acquire began to wait
};

// A waiter whose word has just been decided, and who is still to be told so: after the wait mutex
// is unlocked. A thread's node may be gone by then, so what tell() needs of it was read before.
template <class Sync>
class Decided {
 public:
  using Node = WaitNode<Sync>;
  Decided() noexcept = default;
  Decided(Node& node, void (*called_back)(Node&) noexcept) noexcept
      : node_(&node), called_back_(called_back) {}

  explicit operator bool() const noexcept { return node_ != nullptr; }
  const Node* node() const noexcept { return node_; }  // its address: it may be gone
  void tell() const noexcept { called_back_ != nullptr ? called_back_(*node_) : wake(); }

 private:
  void wake() const noexcept { node_->parker.wake(); }  // the node may be gone: see Parker

  Node* node_ = nullptr;
  void (*called_back_)(Node&) noexcept = nullptr;
};

// Several of them that are called back, in the order of the list.
template <class Sync>
class CallBacks {
 public:
  void add(WaitNode<Sync>& node) noexcept {
    (last_ != nullptr ? last_->next : first_) = &node;
    last_ = &node;
  }
  void tell() noexcept {
    while (WaitNode<Sync>* const node = first_) {
      first_ = node->next;
      node->called_back(*node);
    }
  }

 private:
  WaitNode<Sync>* first_ = nullptr;
  WaitNode<Sync>* last_ = nullptr;
};

// The list. Every member needs the wait mutex; size() and strict() may also be read without it, as
// numbers of a moment.
template <class Sync>
class WaitList {
 public:
  using Node = WaitNode<Sync>;
  using Decided = core::Decided<Sync>;

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

  // Takes nodes out, oldest first, until one accepts `word`; empty when none does. Nodes that
  // refuse have decided for themselves (timed out, canceled) and are on their way out.
  Decided decide_oldest(std::uint32_t word) noexcept {
    while (Node* node = head_) {
      unlink(*node);
      const auto called_back = node->called_back;
      if (node->parker.decide(word)) return {*node, called_back};
    }
    return {};
  }
  // Decides all of them to `word`, and wakes those that are threads. Returns how many accepted it;
  // `callbacks` gets the others, to be told after the mutex is unlocked.
  std::uint32_t decide_all(std::uint32_t word, CallBacks<Sync>& callbacks) noexcept {
    std::uint32_t count = 0;
    while (Node* node = head_) {
      unlink(*node);
      const auto called_back = node->called_back;
      if (!node->parker.decide(word)) continue;
      ++count;
      called_back != nullptr ? callbacks.add(*node) : node->parker.wake();
    }
    return count;
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
