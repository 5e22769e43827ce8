// StatementCache: which statements a session has prepared on the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pq/prepared.hpp"
#include "pq/statement_name.hpp"

namespace tidegate::pq {

// The least recently used statement goes when there is no room. This knows nothing of the server;
// evicted() tells what to deallocate there.
class StatementCache {
 public:
  explicit StatementCache(std::uint32_t capacity) noexcept : capacity_(capacity) {}
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;
  ~StatementCache() { clear(); }

  // Needs: the cache is empty.
  void set_capacity(std::uint32_t capacity) noexcept { capacity_ = capacity; }
  std::uint32_t capacity() const noexcept { return capacity_; }
  std::uint32_t size() const noexcept { return size_; }
  // The statement with that text, now the most recently used; null when there is none. Valid until
  // it is evicted, dropped or cleared.
  const Prepared* find(std::string_view text) noexcept {
    if (newest_ == nullptr || newest_->text() == text) return newest_;  // the same again: no search
    return find_older(text);
  }
  // The number of a name that no statement of any session has had.
  std::uint32_t next_number();
  StatementName name(std::uint32_t number) const noexcept { return {drawn_, number}; }
  StatementName name_of(const Prepared& statement) const noexcept {
    return name(statement.number());
  }
  // Whether a statement that find() gave is what its text means.
  enum class Trust : std::uint8_t {
    yes,
    no,       // it may not be: send its text this once
    no_more,  // it may not be, and this is not the first time: prepare it anew
  };
  Trust trust(const Prepared* statement) noexcept;
  // From here on no statement that was added before is trusted.
  void distrust() noexcept { ++era_; }
  // renew(): a statement that find() gave is what its text means. doubt(): that is to be found out
  // before its next use.
  void renew(const Prepared* statement) noexcept;
  void doubt(const Prepared* statement) noexcept;
  // How long a statement is trusted if the types of its parameters may change without an error.
  void set_trusted_for(std::uint32_t seconds) noexcept { trusted_for_ = seconds; }
  // The statement that add() would drop; null while there is room.
  const Prepared* next_to_go() const noexcept { return size_ < capacity_ ? nullptr : oldest_; }
  // Needs: a capacity, no statement of that text. Throws: std::bad_alloc; nothing was added then.
  const Prepared* add(Prepared::Ptr statement);
  // The statement is of no use any more, but is still on the server.
  void drop(const Prepared* statement);
  // The server has forgotten all of them.
  void clear() noexcept;

  // Names to deallocate on the server; the caller that has done so removes them. Throws:
  // std::bad_alloc, but not when it has been called since forget_evicted().
  std::vector<std::string>& evicted();
  // Frees the room when there are no such names, because most sessions never evict (E7).
  void forget_evicted() noexcept;

 private:
  // Most sessions have few statements, and comparing their texts is faster than hashing one.
  static constexpr std::uint32_t kFew = 8;
  using ByText = std::unordered_map<std::string_view, Prepared*>;

  const Prepared* find_older(std::string_view text) noexcept;
  Prepared::Mark mark() const noexcept;
  void index(Prepared& added);
  void link(Prepared& newest) noexcept;
  void unlink(Prepared& statement) noexcept;

  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::uint32_t era_ = 1;  // a Mark that was made never has 0
  std::uint32_t trusted_for_ = 10;
  std::uint32_t numbered_ = 0;
  std::uint64_t drawn_ = 0;  // drawn with the first number
  // Owned. A list in the order of use.
  Prepared* newest_ = nullptr;
  Prepared* oldest_ = nullptr;
  std::unique_ptr<ByText> by_text_{};  // all of them; null until there were more than a few
  std::unique_ptr<std::vector<std::string>> evicted_{};  // null: none
};

}  // namespace tidegate::pq
