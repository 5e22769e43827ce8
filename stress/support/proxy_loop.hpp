// Proxy::Loop: the thread of the fault proxy. It accepts, dials, and moves bytes by the faults that
// are set; commands from outside are obeyed between two turns. For proxy.cpp only.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "support/proxy.hpp"
#include "support/sockets.hpp"
#include "support/wire.hpp"

namespace tidegate::stress {

using Clock = Wire::Clock;

inline constexpr std::size_t kGreeting = 8;  // length and code of a startup packet
inline constexpr std::uint32_t kCancelRequest = 80877102;
inline constexpr std::uint32_t kSslRequest = 80877103;
inline constexpr std::uint32_t kGssRequest = 80877104;
// A Unix socket whose backlog is full says so at once; TCP would wait. Then it is tried again.
inline constexpr std::chrono::milliseconds kDialAgain{20};

// One client, and what was dialled for it.
struct Link {
  enum class Stage : std::uint8_t { greeting, dialling, open, leaving };

  FileDescriptor client{};
  FileDescriptor server{};
  Wire to_server{};
  Wire to_client{};
  Stage stage = Stage::greeting;
  bool cancels = false;
  bool asked_for_tls = false;  // and not answered yet
  bool is_live = false;        // counted
  std::optional<Clock::time_point> dial_at{};
  std::size_t client_poll = 0;  // where they are among the polled; 0: not at all
  std::size_t server_poll = 0;
};

class Proxy::Loop {
 public:
  Loop(Proxy& proxy, const std::string& host, const std::string& port)
      : proxy_(proxy),
        bell_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
        upstream_(host.starts_with('/')
                      ? Address::unix_socket(socket_path(host, port))
                      : Address::tcp(host, static_cast<std::uint16_t>(std::stoi(port)))) {
    // Bound and never listening: it keeps the port while refuse() is on.
    port_holder_ = bound(Address::tcp("127.0.0.1", 0));
    tcp_ = Address::tcp("127.0.0.1", port_of(port_holder_.get()));
    proxy_.port_ = std::to_string(port_of(port_holder_.get()));
    proxy_.unix_host_ = "@tidegate-proxy-" + std::to_string(::getpid());
    unix_ = Address::unix_socket(socket_path(proxy_.unix_host_, proxy_.port_));
    listen();
  }
  ~Loop() {
    while (!links_.empty()) drop(links_.begin());
  }

  // ---- the loop's own thread -------------------------------------------------------------------
  void run() {
    while (!over_) {
      build_poll();
      ::poll(polled_.data(), polled_.size(), milliseconds_to_wait());
      obey();
      const auto now = Clock::now();
      if (is_ready(1)) accept_from(tcp_listener_.get());
      if (is_ready(2)) accept_from(unix_listener_.get());
      for (auto link = links_.begin(); link != links_.end();) {
        const auto next = std::next(link);
        advance(link, now);
        link = next;
      }
    }
  }
  void end() { over_ = true; }

  void set(Direction direction, const Faults& faults) {
    faults_[static_cast<std::size_t>(direction)] = faults;
    for (Link& link : links_) wire_of(link, direction).set(faults);
  }
  void refuse(bool on) {
    if (on) {
      tcp_listener_.reset();
      unix_listener_.reset();
    } else if (!tcp_listener_) {
      listen();
    }
  }
  void delay_cancels(std::chrono::milliseconds time) { cancel_delay_ = time; }
  void answer(std::string bytes) { answer_ = std::move(bytes); }
  void end_all(bool by_reset) {
    while (!links_.empty()) {
      const auto link = links_.begin();
      if (!by_reset) {
        drop(link);
        continue;
      }
      count_server_gone(*link);
      end_by_reset(link->server);
      end_by_reset(link->client);
      links_.erase(link);
    }
  }

  // ---- any thread ------------------------------------------------------------------------------
  void perform(const std::function<void(Loop&)>& command) {
    std::unique_lock lock(mutex_);
    command_ = &command;
    ring();
    obeyed_.wait(lock, [this] { return command_ == nullptr; });
  }

 private:
  using Links = std::list<Link>;

  void ring() {
    const std::uint64_t one = 1;
    static_cast<void>(::write(bell_.get(), &one, sizeof one));
  }
  void obey() {
    std::lock_guard lock(mutex_);
    if (command_ == nullptr) return;
    std::uint64_t rings = 0;
    static_cast<void>(::read(bell_.get(), &rings, sizeof rings));
    (*command_)(*this);
    command_ = nullptr;
    obeyed_.notify_one();
  }

  void listen() {
    unix_listener_ = listening(unix_);
    tcp_listener_ = listening(tcp_);
  }
  static Wire& wire_of(Link& link, Direction direction) {
    return direction == Direction::to_server ? link.to_server : link.to_client;
  }

  // ---- polling
  std::size_t add(int fd, short events) {
    polled_.push_back({.fd = fd, .events = events, .revents = 0});
    return polled_.size() - 1;
  }
  bool is_ready(std::size_t index) const {
    return index < polled_.size() && polled_[index].revents != 0;
  }
  // A socket that nobody wants to hear of is left out: poll() would tell its end again and again.
  static short events_of(const Wire& from_it, const Wire& to_it) {
    return static_cast<short>((from_it.wants_more() ? POLLIN : 0) |
                              (to_it.is_blocked() ? POLLOUT : 0));
  }
  void build_poll() {
    polled_.clear();
    add(bell_.get(), POLLIN);
    add(tcp_listener_.get(), POLLIN);  // a negative one is skipped
    add(unix_listener_.get(), POLLIN);
    for (Link& link : links_) {
      link.client_poll = link.server_poll = 0;
      if (link.stage == Link::Stage::dialling) {
        if (link.server) link.server_poll = add(link.server.get(), POLLOUT);
        continue;
      }
      short events = events_of(link.to_server, link.to_client);
      if (link.stage == Link::Stage::leaving) events &= POLLOUT;
      if (events != 0) link.client_poll = add(link.client.get(), events);
      if (!link.server) continue;
      events = events_of(link.to_client, link.to_server);
      // A server that ends while nothing is taken from it has ended nevertheless.
      if (link.is_live && !link.to_client.wants_more()) events |= POLLRDHUP;
      if (events != 0) link.server_poll = add(link.server.get(), events);
    }
  }
  int milliseconds_to_wait() const {
    auto first = Clock::time_point::max();
    for (const Link& link : links_) {
      if (link.dial_at) first = std::min(first, *link.dial_at);
      if (link.stage == Link::Stage::open || link.stage == Link::Stage::leaving) {
        for (const Wire* wire : {&link.to_server, &link.to_client}) {
          if (const auto due = wire->next_due()) first = std::min(first, *due);
        }
      }
    }
    if (first == Clock::time_point::max()) return -1;
    const auto now = Clock::now();
    if (first <= now) return 0;
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(first - now).count());
  }

  // ---- the life of a link
  void accept_from(int listener) {
    for (;;) {
      FileDescriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client) return;
      ++proxy_.accepted_;
      Link& link = links_.emplace_back();
      const int on = 1;
      ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      link.client = std::move(client);
      for (const Direction direction : {Direction::to_server, Direction::to_client}) {
        wire_of(link, direction).set(faults_[static_cast<std::size_t>(direction)]);
      }
    }
  }

  void advance(Links::iterator link, Clock::time_point now) {
    switch (link->stage) {
      case Link::Stage::greeting: return greet(link, now);
      case Link::Stage::dialling: return dial_on(link, now);
      case Link::Stage::open: return pass_on(link, now);
      case Link::Stage::leaving: return leave(link, now);
    }
  }

  void greet(Links::iterator link, Clock::time_point now) {
    if (link->client_poll != 0 && is_ready(link->client_poll)) {
      link->to_server.take(link->client.get(), now);
    }
    const std::string greeting = link->to_server.first_bytes(kGreeting);
    if (greeting.size() < kGreeting) {
      if (link->to_server.end_taken()) drop(link);
      return;
    }
    std::uint32_t code = 0;
    std::memcpy(&code, greeting.data() + sizeof code, sizeof code);
    code = ntohl(code);
    if (answer_.empty() ? code == kSslRequest && !server_has_tls_
                        : code == kSslRequest || code == kGssRequest) {
      // Not encrypted, says a server, and hears the startup packet before it says more; and only
      // that one tells a cancel, before which libpq asks for TLS from 17 on.
      static_cast<void>(::send(link->client.get(), "N", 1, MSG_NOSIGNAL));
      link->to_server = {};
      link->to_server.set(faults_[static_cast<std::size_t>(Direction::to_server)]);
      return;
    }
    link->asked_for_tls = code == kSslRequest;
    if (!answer_.empty()) {
      static_cast<void>(::send(link->client.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL));
      return drop(link);
    }
    // It came, and went while nothing passed: for the server it has never been.
    if (has_hung_up(link->client.get())) return drop(link);
    link->cancels = code == kCancelRequest;
    if (link->cancels) {
      ++proxy_.cancels_;
      ++proxy_.live_cancels_;
    } else {
      ++proxy_.dialled_;
      const std::uint32_t live = ++proxy_.live_;
      if (live > proxy_.high_water_) proxy_.high_water_ = live;
    }
    link->is_live = true;
    link->stage = Link::Stage::dialling;
    if (link->cancels && cancel_delay_.count() > 0) {
      link->dial_at = now + cancel_delay_;
    } else {
      dial(link, now);
    }
  }

  void dial(Links::iterator link, Clock::time_point now) {
    link->dial_at.reset();
    link->server = new_socket(upstream_.family());
    const int on = 1;
    ::setsockopt(link->server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(link->server.get(), upstream_.get(), upstream_.size) == 0) {
      link->stage = Link::Stage::open;
      pass_on(link, now);
    } else if (errno == EAGAIN) {
      link->server.reset();
      link->dial_at = now + kDialAgain;
    } else if (errno != EINPROGRESS) {
      drop(link);
    }
  }
  void dial_on(Links::iterator link, Clock::time_point now) {
    if (link->dial_at) {
      if (*link->dial_at <= now) dial(link, now);
      return;
    }
    if (!is_ready(link->server_poll)) return;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(link->server.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return drop(link);
    link->stage = Link::Stage::open;
    pass_on(link, now);
  }

  void pass_on(Links::iterator link, Clock::time_point now) {
    if (link->client_poll != 0 && is_ready(link->client_poll)) {
      link->to_server.take(link->client.get(), now);
    }
    if (link->server_poll != 0 && polled_[link->server_poll].revents & (POLLRDHUP | POLLHUP)) {
      count_server_gone(*link);
    }
    bool server_ended = link->server_poll != 0 && is_ready(link->server_poll) &&
                        !link->to_client.take(link->server.get(), now);
    if (link->asked_for_tls && !link->to_client.first_bytes(1).empty()) {
      link->asked_for_tls = false;
      server_has_tls_ = link->to_client.first_bytes(1) != "N";
    }
    const Wire::State sent = give(link->to_server, link->server.get(), now);
    if (sent == Wire::State::broken && !link->to_client.end_taken()) {
      // What it said before it went is there to be read.
      link->to_client.take(link->server.get(), now);
      link->to_client.take_end(now);
      server_ended = true;
    }
    if (server_ended) {
      // Before the client can hear of it.
      count_server_gone(*link);
      link->server.reset();
      link->stage = Link::Stage::leaving;
      return leave(link, now);
    }
    const Wire::State received = give(link->to_client, link->client.get(), now);
    if (sent == Wire::State::cut || received == Wire::State::cut) return drop(link);
    // The client is gone: the server is told, and has the last word.
    if (received == Wire::State::broken) link->to_server.take_end(now);
  }
  // The server has ended; the client is owed the rest.
  void leave(Links::iterator link, Clock::time_point now) {
    if (give(link->to_client, link->client.get(), now) != Wire::State::open) drop(link);
  }

  Wire::State give(Wire& wire, int receiver, Clock::time_point now) {
    const std::uint64_t before = wire.pieces();
    const Wire::State state = wire.give(receiver, now);
    proxy_.pieces_ += wire.pieces() - before;
    return state;
  }
  void count_server_gone(Link& link) {
    if (std::exchange(link.is_live, false)) {
      --(link.cancels ? proxy_.live_cancels_ : proxy_.live_);
    }
  }
  void drop(Links::iterator link) {
    count_server_gone(*link);
    // Closed with something unread, it would be reset.
    char unread[4096];
    while (::recv(link->client.get(), unread, sizeof unread, MSG_DONTWAIT) > 0) continue;
    links_.erase(link);
  }

  Proxy& proxy_;
  const FileDescriptor bell_;
  Address upstream_;
  Address tcp_{};
  Address unix_{};
  FileDescriptor port_holder_{};
  FileDescriptor tcp_listener_{};
  FileDescriptor unix_listener_{};

  std::mutex mutex_;
  std::condition_variable obeyed_;
  const std::function<void(Loop&)>* command_ = nullptr;  // guarded by mutex_

  // The loop's thread only.
  bool over_ = false;
  std::array<Faults, 2> faults_{};  // by Direction
  std::string answer_{};
  std::chrono::milliseconds cancel_delay_{};
  bool server_has_tls_ = true;  // until it says that it has not
  Links links_{};
  std::vector<pollfd> polled_{};
};

}  // namespace tidegate::stress
