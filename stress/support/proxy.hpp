// Proxy: stands between clients and a PostgreSQL server, counts, and breaks what it is told to
// break.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace tidegate::stress {

enum class Direction : std::uint8_t { to_server, to_client };

// What befalls the bytes of one direction, of connections that are there and that come. Combine at
// will; the default is a wire without faults.
struct Faults {
  // Every byte, and the end, arrives that much later.
  std::chrono::milliseconds latency{0};
  // Only the end does: a slow close.
  std::chrono::milliseconds close_delay{0};
  // Nothing passes, not even the end, and nobody is told. What was sent arrives when it is over.
  bool black_hole = false;
  // The same, from when so many bytes have passed since this was set. kNever: not at all.
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::uint64_t hole_after = kNever;
  // At most so many bytes at once, each in a packet of its own; 0 = as they come.
  std::size_t slice = 0;
  // Bytes per second and connection; 0 = unlimited.
  std::uint64_t bandwidth = 0;
  // Each connection ends, on both sides, when so many bytes have passed since this was set.
  std::uint64_t cut_after = kNever;
};

// One thread, one poll loop. It listens on TCP and on a Unix socket, and dials the server when a
// client has sent its first eight bytes, which say whether it only wants something canceled
// (documentation: 55.7, CancelRequest).
//
// The verbs return when the loop has done what they say: a fault is there for every byte that is
// sent afterwards.
class Proxy {
 public:
  // `host`: a TCP address, or the folder of a Unix socket, as in PGHOST.
  // Throws std::system_error when it cannot listen.
  Proxy(std::string host, std::string port);
  // Clients see the end of their connections.
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // For clients: 127.0.0.1 or this host, both with this port. The Unix socket is one of the
  // abstract namespace ("@..."): a name, no file, so that nothing stays behind whatever ends the
  // process.
  const std::string& port() const noexcept { return port_; }
  const std::string& unix_host() const noexcept { return unix_host_; }

  void set(Direction direction, const Faults& faults);
  void set(const Faults& both_ways);
  // No faults, nothing refused, nothing answered.
  void heal();
  // From here on connects are refused by the system, as if nobody listened.
  void refuse(bool on = true);
  // From here on every new client is answered with these bytes and hung up on, whatever it wants;
  // the server does not hear of it. Empty: that is over.
  void answer(std::string bytes);
  // Cancel requests reach the server that much later; heal() ends it.
  void delay_cancels(std::chrono::milliseconds time);
  // Ends every connection, both sides: with RST (TCP only), or with FIN.
  void reset_all();
  void finish_all();

  // Connections to the server: from the dialling until the server has ended, or reset_all() and the
  // like have ended, them. A client hears of an end only after it is counted here, so that its next
  // connection never adds up with the last: this is what "never more than max_size" is held
  // against. Those that carry a cancel request are counted apart.
  std::uint32_t live() const noexcept { return live_; }
  std::uint32_t high_water() const noexcept { return high_water_; }
  std::uint32_t live_cancels() const noexcept { return live_cancels_; }
  // So far: clients accepted, connections dialled for them, and those of cancel requests.
  std::uint64_t accepted() const noexcept { return accepted_; }
  std::uint64_t dialled() const noexcept { return dialled_; }
  std::uint64_t cancels() const noexcept { return cancels_; }
  // Writes to either side, so far: into how many pieces the bytes were divided.
  std::uint64_t pieces() const noexcept { return pieces_; }
  // high_water() begins anew from what is live.
  void forget_high_water();

 private:
  class Loop;

  void perform(std::function<void(Loop&)> command);

  // Written by the loop's thread only.
  std::atomic<std::uint32_t> live_{0};
  std::atomic<std::uint32_t> high_water_{0};
  std::atomic<std::uint32_t> live_cancels_{0};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> dialled_{0};
  std::atomic<std::uint64_t> cancels_{0};
  std::atomic<std::uint64_t> pieces_{0};
  std::string port_;
  std::string unix_host_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

// An ErrorResponse for Proxy::answer(): what a server says that refuses a client (documentation:
// 55.7).
std::string error_response(std::string_view sqlstate, std::string_view text);

}  // namespace tidegate::stress
