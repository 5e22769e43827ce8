#include "pq/cancel_target.hpp"

namespace tidegate::pq {

CancelTrace CancelTarget::trace() const noexcept {
  const std::uint32_t word = word_.load();
  if ((word & (kQueued | kSending)) != 0) return CancelTrace::pending;
  if ((word & kDoubtful) != 0) return CancelTrace::doubtful;
  return (word & kSent) != 0 ? CancelTrace::delivered : CancelTrace::none;
}

CancelTally CancelTarget::tally() const noexcept {
  return {.sent = sent_.load(std::memory_order_relaxed),
          .answered = answered_.load(std::memory_order_relaxed),
          .canceled = canceled_.load(std::memory_order_relaxed)};
}

void CancelTarget::settle() noexcept {
  std::uint32_t word = word_.load();
  while ((word & (kQueued | kSending | kDoubtful)) == 0 &&
         !word_.compare_exchange_weak(word, word & ~kSent)) {
  }
}

void CancelTarget::mark() noexcept {
  sent_before_ = sent_.load(std::memory_order_relaxed);
  answered_before_ = answered_.load(std::memory_order_relaxed);
}

CancelTarget::Reached CancelTarget::reached() const noexcept {
  if (answered_.load(std::memory_order_relaxed) != answered_before_) return Reached::answered;
  if (sent_.load(std::memory_order_relaxed) != sent_before_) return Reached::sent;
  return Reached::nothing;
}

std::shared_ptr<CancelServer> CancelServer::at(const std::shared_ptr<CancelBooks>& books,
                                               std::string address) {
  const std::lock_guard lock(books->mutex);
  std::erase_if(books->servers, [](const auto& server) { return server.expired(); });
  for (const auto& server : books->servers) {
    if (auto known = server.lock(); known && known->address == address) return known;
  }
  auto server = std::make_shared<CancelServer>(books, std::move(address));
  books->servers.push_back(server);
  return server;
}

}  // namespace tidegate::pq
