// The one place that knows moodycamel's queue.
#include <tidegate/core/idle_queue.hpp>

#include <concurrentqueue.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <tidegate/core/sync.hpp>

#include "core/reuse_edge.hpp"

namespace tidegate::core {
namespace {

// A slot index that is accessed by relaxed atomics only: moodycamel orders the reuse of a cell by a
// fence, which TSan does not model. The slot's state orders the payload.
class Element {
 public:
  Element() noexcept { store(0); }
  explicit Element(std::uint32_t slot) noexcept { store(slot); }
  Element(const Element& other) noexcept { store(other.load()); }
  // The queue takes an element out of its cell by this assignment.
  Element& operator=(const Element& other) noexcept {
    store(other.load());
    ReuseEdge::cell_read();
    return *this;
  }
  ~Element() = default;

  std::uint32_t load() const noexcept { return __atomic_load_n(&slot_, __ATOMIC_RELAXED); }

 private:
  void store(std::uint32_t slot) noexcept { __atomic_store_n(&slot_, slot, __ATOMIC_RELAXED); }
  std::uint32_t slot_;
};

constexpr std::size_t kBlockSize = 32;
constexpr std::size_t kIndexSize = 128;  // blocks that one producer can index without growing

// The queue ignores an allocation that fails and is unusable then, so we note the failure here.
constinit thread_local bool memory_was_refused = false;

struct Traits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr std::size_t BLOCK_SIZE = kBlockSize;
  static constexpr std::size_t EXPLICIT_INITIAL_INDEX_SIZE = kIndexSize;
  static void* malloc(std::size_t size) noexcept {
    void* const memory = std::malloc(size);
    if (memory == nullptr) memory_was_refused = true;
    return memory;
  }
  static void free(void* memory) noexcept { std::free(memory); }
};
using Queue = moodycamel::ConcurrentQueue<Element, Traits>;

// One explicit producer behind a try-flag: a thread that finds the flag set uses another producer.
struct alignas(kCacheLine) Producer {
  explicit Producer(Queue& queue) : token(queue) {}
  std::atomic<bool> busy{false};
  moodycamel::ProducerToken token;
  [[no_unique_address]] ReuseEdge reuse;
};

}  // namespace

// try_enqueue of an explicit producer takes blocks from the queue's initial pool only, so nothing
// here allocates after construction. A producer keeps the blocks it once took, and can have two of
// them half used: hence the spare blocks.
struct IdleQueue::Impl {
  Impl(std::uint32_t slots, std::uint32_t count)
      : queue((memory_was_refused = false,
               (slots / kBlockSize + 1 + std::size_t{3} * count) * kBlockSize)) {
    producers.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      producers.push_back(std::make_unique<Producer>(queue));
    }
    if (memory_was_refused) throw std::bad_alloc();
  }

  Queue queue;
  std::vector<std::unique_ptr<Producer>> producers;
};

IdleQueue::IdleQueue(std::uint32_t slots, std::uint32_t producers)
    : impl_(std::make_unique<Impl>(
          slots, std::max(producers, slots / std::uint32_t{kIndexSize * kBlockSize / 2} + 1))) {}

IdleQueue::~IdleQueue() = default;

bool IdleQueue::try_enqueue(std::uint32_t slot, std::uint32_t hint) noexcept {
  const std::size_t count = impl_->producers.size();
  for (std::size_t i = 0; i < count; ++i) {
    Producer& producer = *impl_->producers[(hint + i) % count];
    if (producer.busy.load(std::memory_order_relaxed)) continue;
    // [producer] acquire; pairs with the release below. Carries: the token's private state.
    if (producer.busy.exchange(true, std::memory_order_acquire)) continue;
    producer.reuse.enqueuing(kBlockSize);
    const bool done = impl_->queue.try_enqueue(producer.token, Element(slot));
    producer.busy.store(false, std::memory_order_release);
    if (done) return true;
  }
  return false;
}

bool IdleQueue::try_dequeue(std::uint32_t& slot) noexcept {
  Element element;
  if (!impl_->queue.try_dequeue(element)) return false;
  slot = element.load();
  return true;
}

}  // namespace tidegate::core
