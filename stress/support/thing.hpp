// Thing: the fake resource of the stress programs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace tidegate::stress {

class Ledger;

// Move-only, on the heap: a use after its destruction is seen by AddressSanitizer, a lost one by
// LeakSanitizer. It says so when it is just dropped.
class Thing {
 public:
  struct Body {
    Ledger& ledger;
    // Who has it: an actor's index + 1, or 0.
    std::atomic<std::uint32_t> owner{0};
    // Plain on purpose. Each lessee writes them, so ThreadSanitizer reports two lessees that the
    // pool has not put in order.
    std::uint64_t uses = 0;
    std::uint32_t last_user = 0;
  };

  explicit Thing(std::unique_ptr<Body> body) noexcept : body_(std::move(body)) {}
  Thing(Thing&&) noexcept = default;
  Thing& operator=(Thing&&) = delete;
  ~Thing();

  Body& body() const noexcept { return *body_; }
  // Its two ends: by the pool's `destroy`, or by whoever hijacked it. The thing is empty then.
  void destroy();
  void let_go() { body_.reset(); }

 private:
  std::unique_ptr<Body> body_;
};

}  // namespace tidegate::stress
