// Tells an observer, if there is one.
#pragma once

#include <memory>
#include <utility>

#include <tidegate/pool/observer.hpp>

namespace tidegate::detail {

// Calls say(Observer&); drops what it throws (observer.hpp).
template <class Say>
void tell(const std::shared_ptr<Observer>& observer, Say&& say) noexcept {
  if (observer == nullptr) return;
  try {
    std::forward<Say>(say)(*observer);
  } catch (...) {
    // An observer is no reason to fail what it looks at.
  }
}

}  // namespace tidegate::detail
