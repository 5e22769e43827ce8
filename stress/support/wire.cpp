#include "support/wire.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace tidegate::stress {

bool Wire::take(int sender, Clock::time_point now) {
  std::array<char, 16 * 1024> buffer;
  while (wants_more()) {
    const ssize_t n = ::recv(sender, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) {
      if (broken_) continue;  // there is nobody to give it to
      const auto size = static_cast<std::size_t>(n);
      chunks_.push_back({now + faults_.latency, std::string(buffer.data(), size)});
      waiting_ += size;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return true;
    } else {
      take_end(now);
      return false;
    }
  }
  return true;
}

void Wire::take_end(Clock::time_point now) {
  if (end_taken_) return;
  end_taken_ = true;
  if (!broken_) chunks_.push_back({now + faults_.latency + faults_.close_delay, {}});
}

std::string Wire::first_bytes(std::size_t size) const {
  std::string bytes;
  for (const Chunk& chunk : chunks_) {
    bytes.append(chunk.bytes, 0, size - bytes.size());
    if (bytes.size() == size) break;
  }
  return bytes;
}

std::size_t Wire::most_at_once(std::size_t wanted) const noexcept {
  if (faults_.slice > 0) wanted = std::min(wanted, faults_.slice);
  // A twentieth of a second's worth, so that a slow wire flows and does not gush.
  if (faults_.bandwidth > 0) {
    wanted = std::min<std::size_t>(wanted, std::max<std::uint64_t>(1, faults_.bandwidth / 20));
  }
  return std::min(
      {std::uint64_t{wanted}, faults_.cut_after - passed_, faults_.hole_after - passed_});
}

Wire::State Wire::give(int receiver, Clock::time_point now) {
  blocked_ = false;
  if (broken_) return State::broken;
  if (passed_ >= faults_.cut_after) return State::cut;
  while (!is_hole() && !chunks_.empty() && chunks_.front().due <= now) {
    Chunk& chunk = chunks_.front();
    if (chunk.bytes.empty()) {
      ::shutdown(receiver, SHUT_WR);
      chunks_.pop_front();
      end_given_ = true;
      break;
    }
    if (faults_.bandwidth > 0 && free_at_ > now) break;
    const ssize_t n = ::send(receiver, chunk.bytes.data(), most_at_once(chunk.bytes.size()),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      blocked_ = true;
      break;
    }
    if (n < 0) {
      broken_ = true;
      chunks_.clear();
      waiting_ = 0;
      return State::broken;
    }
    const auto size = static_cast<std::size_t>(n);
    waiting_ -= size;
    passed_ += size;
    ++pieces_;
    chunk.bytes.erase(0, size);
    if (chunk.bytes.empty()) chunks_.pop_front();
    if (faults_.bandwidth > 0) {
      free_at_ = now + std::chrono::nanoseconds(1'000'000'000 * size / faults_.bandwidth);
    }
    if (passed_ >= faults_.cut_after) return State::cut;
    if (faults_.slice > 0) break;  // the rest in a turn of its own
  }
  return end_given_ ? State::ended : State::open;
}

std::optional<Wire::Clock::time_point> Wire::next_due() const {
  if (passed_ >= faults_.cut_after) return Clock::time_point::min();
  if (is_hole() || chunks_.empty() || blocked_) return std::nullopt;
  const Chunk& chunk = chunks_.front();
  if (chunk.bytes.empty() || faults_.bandwidth == 0) return chunk.due;
  return std::max(chunk.due, free_at_);
}

}  // namespace tidegate::stress
