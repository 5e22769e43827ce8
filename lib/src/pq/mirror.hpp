// Mirror: what a session does, written by its thread, readable by every other.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include <tidegate/pq/activity.hpp>

namespace tidegate::pq {

// Other threads never ask libpq about a connection in use; they look here. Writing costs a few
// plain stores per statement.
class Mirror {
 public:
  // The session's thread. `count`: of statements that are under way together, on a lane.
  void begin(std::string_view statement, std::size_t count = 1) noexcept {
    const auto shown = static_cast<std::uint8_t>(std::min<std::size_t>(count, 255));
    under_way_.store(shown, std::memory_order_relaxed);  // relaxed: a hint by itself
    const std::uint32_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    // [mirror-open] pairs with the fence in statement(): readers of a new word see the odd version.
    std::atomic_thread_fence(std::memory_order_release);
    const std::size_t size = std::min(statement.size(), kShown);
    for (std::size_t at = 0; at < size; at += sizeof(Word)) {
      Word word = 0;
      std::memcpy(&word, statement.data() + at, std::min(sizeof word, size - at));
      text_[at / sizeof(Word)].store(word, std::memory_order_relaxed);
    }
    size_.store(static_cast<std::uint8_t>(size), std::memory_order_relaxed);
    // [mirror-text] pairs with the acquire in statement(). Carries: the words.
    version_.store(version + 2, std::memory_order_release);
  }
  void end(TransactionStatus transaction) noexcept {
    transaction_.store(transaction, std::memory_order_relaxed);
    under_way_.store(0, std::memory_order_relaxed);
  }
  // The next lease must not see this one's statement. The words stay as they were, so a reader that
  // still has the old size gets the old statement.
  void forget() noexcept { size_.store(0, std::memory_order_relaxed); }
  // True: from here on the user's code may run statements through libpq itself. False: no longer.
  void set_unknown(bool unknown) noexcept { unknown_.store(unknown, std::memory_order_relaxed); }

  // Any thread.
  Activity read() const {
    if (unknown_.load(std::memory_order_relaxed)) return {};
    const std::uint8_t under_way = under_way_.load(std::memory_order_relaxed);
    return {.transaction = transaction_.load(std::memory_order_relaxed),
            .busy = under_way > 0,
            .statement = statement(),
            .under_way = under_way};
  }

 private:
  using Word = std::uint64_t;
  static constexpr std::size_t kShown = 120;
  // Only a writer with very short statements could disturb every try.
  static constexpr int kTries = 16;

  std::string statement() const {
    std::array<Word, kShown / sizeof(Word)> words{};
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const std::uint32_t version = version_.load(std::memory_order_acquire);  // [mirror-text]
      const std::size_t size = size_.load(std::memory_order_relaxed);
      for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = text_[i].load(std::memory_order_relaxed);
      }
      std::atomic_thread_fence(std::memory_order_acquire);  // [mirror-open]
      if (version % 2 == 0 && version_.load(std::memory_order_relaxed) == version) {
        return {reinterpret_cast<const char*>(words.data()), size};
      }
    }
    return "";
  }

  static_assert(kShown <= std::numeric_limits<std::uint8_t>::max());

  std::atomic<std::uint32_t> version_{0};
  std::atomic<std::uint8_t> size_{0};
  std::atomic<TransactionStatus> transaction_{TransactionStatus::idle};
  std::atomic<std::uint8_t> under_way_{0};
  std::atomic<bool> unknown_{false};
  std::array<std::atomic<Word>, kShown / sizeof(Word)> text_{};
};

}  // namespace tidegate::pq
