#include "pq/statement_cache.hpp"

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tidegate::pq {

std::uint32_t StatementCache::next_number() {
  if (numbered_ == 0) drawn_ = draw_for_names();
  return ++numbered_;
}

std::vector<std::string>& StatementCache::evicted() {
  if (evicted_ == nullptr) evicted_ = std::make_unique<std::vector<std::string>>();
  return *evicted_;
}

void StatementCache::forget_evicted() noexcept {
  if (evicted_ != nullptr && evicted_->empty()) evicted_.reset();
}

const Prepared* StatementCache::find_older(std::string_view text) noexcept {
  Prepared* found = nullptr;
  if (by_text_ != nullptr) {
    const auto entry = by_text_->find(text);
    if (entry != by_text_->end()) found = entry->second;
  } else {
    found = newest_->older_;
    while (found != nullptr && found->text() != text) found = found->older_;
  }
  if (found == nullptr) return nullptr;
  unlink(*found);
  link(*found);
  return found;
}

// Seconds are exact enough, and wrap in a hundred years.
Prepared::Mark StatementCache::mark() const noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return {.era = era_, .second = static_cast<std::uint32_t>(now.tv_sec)};
}

StatementCache::Trust StatementCache::trust(const Prepared* statement) noexcept {
  if (statement->known_.era == era_ && !statement->ages_) return Trust::yes;
  const Prepared::Mark now = mark();
  const auto holds = [&](const Prepared::Mark& since) {
    return since.era == now.era && (!statement->ages_ || now.second - since.second < trusted_for_);
  };
  if (holds(statement->known_)) return Trust::yes;
  if (holds(statement->doubted_)) return Trust::no_more;
  const_cast<Prepared*>(statement)->doubted_ = now;  // one of ours: add() had it
  return Trust::no;
}

void StatementCache::renew(const Prepared* statement) noexcept {
  const_cast<Prepared*>(statement)->known_ = mark();  // one of ours: add() had it
}

void StatementCache::doubt(const Prepared* statement) noexcept {
  const_cast<Prepared*>(statement)->known_ = {};
  const_cast<Prepared*>(statement)->doubted_ = mark();
}

const Prepared* StatementCache::add(Prepared::Ptr statement) {
  if (size_ >= capacity_) drop(oldest_);
  index(*statement);
  link(*statement);
  ++size_;
  statement->known_ = mark();
  return statement.release();
}

void StatementCache::index(Prepared& added) {
  if (by_text_ == nullptr) {
    if (size_ < kFew) return;
    auto all = std::make_unique<ByText>();
    for (Prepared* each = newest_; each != nullptr; each = each->older_) {
      all->emplace(each->text(), each);
    }
    by_text_ = std::move(all);
  }
  by_text_->emplace(added.text(), &added);
}

void StatementCache::drop(const Prepared* statement) {
  evicted().emplace_back(name_of(*statement));
  if (by_text_ != nullptr) by_text_->erase(statement->text());
  const Prepared::Ptr ended(const_cast<Prepared*>(statement));  // one of ours: add() had it
  unlink(*ended);
  --size_;
}

void StatementCache::clear() noexcept {
  by_text_.reset();
  while (newest_ != nullptr) {
    const Prepared::Ptr ended(newest_);
    unlink(*ended);
  }
  size_ = 0;
  evicted_.reset();
}

void StatementCache::link(Prepared& newest) noexcept {
  newest.newer_ = nullptr;
  newest.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &newest;
  newest_ = &newest;
}

void StatementCache::unlink(Prepared& statement) noexcept {
  (statement.newer_ != nullptr ? statement.newer_->older_ : newest_) = statement.older_;
  (statement.older_ != nullptr ? statement.older_->newer_ : oldest_) = statement.newer_;
}

}  // namespace tidegate::pq
