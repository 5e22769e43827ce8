// Registration: a connection's socket, known to one event loop for as long as they both live.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <tidegate/asio/net.hpp>
#include <tidegate/pool/async.hpp>

namespace tidegate::asio::detail {

using Executor = net::any_io_executor;
using Descriptor = net::posix::basic_stream_descriptor<Executor>;

// The descriptor is a duplicate of the connection's. libpq closes its own as soon as a connection
// is lost; what the loop knows by that number would be somebody else's socket then, and letting go
// of it would take that one from the loop. Connection and loop may end in either order, on
// different threads: `mutex` is for that. Whoever has the lease uses the descriptor without it,
// because neither ends meanwhile.
struct Registered {
  std::mutex mutex{};
  std::optional<Descriptor> descriptor{};

  void let_go() noexcept {
    const std::lock_guard lock(mutex);
    descriptor.reset();
  }
};

// Whether a loop still takes what other threads post to it: they hold the mutex while they do. A
// connection that comes back on a thread of its own must not meet a loop in its destructor.
struct LoopGate {
  std::mutex mutex{};
  bool open = true;
};

// Of an execution context: lets go of all descriptors, and closes the gate, when the context ends.
//
// Services end in the order opposite to their making. This one has to end before the reactor: that
// frees what it knows of each descriptor, without a lock, and another thread may be about to have a
// descriptor of this loop released, because it uses the connection on its own. So the reactor is
// made first, by whoever asks for this service (seen: a double free in ~io_context).
class Registrations final : public net::execution_context::service {
 public:
  using key_type = Registrations;
  static inline net::execution_context::id id{};

  static Registrations& of(const Executor& executor) {
    net::execution_context& context = net::query(executor, net::execution::context);
    if (!net::has_service<Registrations>(context)) {
      const Descriptor makes_the_reactor(executor);
    }
    return net::use_service<Registrations>(context);
  }

  explicit Registrations(net::execution_context& context)
      : net::execution_context::service(context) {}

  const std::shared_ptr<LoopGate>& gate() const noexcept { return gate_; }
  void add(const std::shared_ptr<Registered>& one) {
    const std::lock_guard lock(mutex_);
    if (all_.size() == all_.capacity()) {  // seldom: forget those whose connections have ended
      const auto gone = [](const auto& weak) { return weak.expired(); };
      all_.erase(std::remove_if(all_.begin(), all_.end(), gone), all_.end());
    }
    all_.push_back(one);
  }

 private:
  void shutdown() noexcept override {
    {
      const std::lock_guard lock(gate_->mutex);
      gate_->open = false;
    }
    const std::lock_guard lock(mutex_);
    for (const auto& weak : all_) {
      if (const auto one = weak.lock()) one->let_go();
    }
    all_.clear();
  }

  const std::shared_ptr<LoopGate> gate_ = std::make_shared<LoopGate>();
  std::mutex mutex_{};
  std::vector<std::weak_ptr<Registered>> all_{};
};

class Registration final : public Attachment {
 public:
  // The descriptor of `connection` on the loop of `executor`: registered there when it is on none,
  // or on another. Needs: the caller uses the connection. Throws: std::bad_alloc, system_error when
  // the loop cannot take it.
  static Descriptor& of(Connection& connection, const Executor& executor) {
    std::unique_ptr<Attachment>& held = async::attachment(connection);
    net::execution_context& context = net::query(executor, net::execution::context);
    auto* mine = held != nullptr && held->kind() == &Registrations::id
                     ? static_cast<Registration*>(held.get())
                     : nullptr;
    if (mine == nullptr || mine->context_ != &context || !mine->registered_->descriptor) {
      held.reset();  // first: a socket that two loops watch wakes both
      held = std::make_unique<Registration>(async::socket(connection), executor, context);
      mine = static_cast<Registration*>(held.get());
    }
    return *mine->registered_->descriptor;
  }

  Registration(int socket, const Executor& executor, net::execution_context& context)
      : context_(&context), registered_(std::make_shared<Registered>()) {
    registered_->descriptor.emplace(executor);
    const int own = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw std::system_error(errno, std::generic_category(), "tidegate: dup");
    try {
      registered_->descriptor->assign(own);
    } catch (...) {
      ::close(own);
      throw;
    }
    try {
      Registrations::of(executor).add(registered_);
    } catch (...) {
      registered_->let_go();
      throw;
    }
  }
  ~Registration() override { registered_->let_go(); }
  const void* kind() const noexcept override { return &Registrations::id; }

 private:
  net::execution_context* context_;
  std::shared_ptr<Registered> registered_;
};

}  // namespace tidegate::asio::detail
