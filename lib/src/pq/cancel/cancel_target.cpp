#include "pq/cancel/cancel_target.hpp"

namespace tidegate::pq {

CancelTrace CancelTarget::trace() const noexcept {
  const std::uint32_t word = word_.load();
  if ((word & (kQueued | kSending)) != 0) return CancelTrace::pending;
  if ((word & kDoubtful) != 0) return CancelTrace::doubtful;
  if ((word & kTaken) != 0) return CancelTrace::taken;
  return (word & kSent) != 0 ? CancelTrace::delivered : CancelTrace::none;
}

CancelTally CancelTarget::tally() const noexcept {
  return {.sent = sent_.load(std::memory_order_relaxed),
          .answered = answered_.load(std::memory_order_relaxed),
          .reset = reset_.load(std::memory_order_relaxed),
          .canceled = canceled_.load(std::memory_order_relaxed)};
}

void CancelTarget::settle() noexcept {
  std::uint32_t word = word_.load();
  do {
    if ((word & (kQueued | kSending | kDoubtful)) != 0) return;
  } while (!word_.compare_exchange_weak(word, word & ~(kSent | kTaken)));
  begun_settled_ = begun_.load(std::memory_order_relaxed);
  struck_ = 0;
}

void CancelTarget::note_canceled(bool on_request) noexcept {
  canceled_.fetch_add(1, std::memory_order_relaxed);
  if (on_request && struck_ < 255) ++struck_;
}

// While none is under way, as many have begun as were sent: requests that reached nobody are not
// counted as begun any more.
bool CancelTarget::used_up() const noexcept {
  const std::uint8_t begun = begun_.load(std::memory_order_relaxed);
  const auto owed = static_cast<std::uint8_t>(begun - begun_settled_);
  return owed > 0 && struck_ >= owed && sent_.load(std::memory_order_relaxed) == begun;
}

void CancelTarget::mark() noexcept {
  sent_before_ = sent_.load(std::memory_order_relaxed);
  answered_before_ = answered_.load(std::memory_order_relaxed);
  reset_before_ = reset_.load(std::memory_order_relaxed);
}

CancelTarget::Reached CancelTarget::reached() const noexcept {
  if (answered_.load(std::memory_order_relaxed) != answered_before_) return Reached::answered;
  if (reset_.load(std::memory_order_relaxed) != reset_before_) return Reached::reset;
  if (sent_.load(std::memory_order_relaxed) != sent_before_) return Reached::sent;
  return Reached::nothing;
}

std::shared_ptr<CancelServer> CancelServer::at(const std::shared_ptr<CancelBooks>& books,
                                               std::string address) {
  const detail::Lock lock(books->mutex);
  std::erase_if(books->servers, [](const auto& server) { return server.expired(); });
  for (const auto& server : books->servers) {
    if (auto known = server.lock(); known && known->address == address) return known;
  }
  auto server = std::make_shared<CancelServer>(books, std::move(address));
  books->servers.push_back(server);
  return server;
}

}  // namespace tidegate::pq
