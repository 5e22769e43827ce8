// The stage: the one pool that is alive while a row runs. Another one's threads would be noise.
#pragma once

#include <memory>
#include <typeindex>

#include "support/peer.hpp"

namespace bench {

class Stage {
 public:
  // Brings a P of that shape on. Rows that follow each other with the same one share it.
  template <Peer P>
  static void set(PoolShape shape) {
    if (pool_ && kind_ == typeid(P) && shape_ == shape) return;
    pool_.reset();
    pool_ = std::make_shared<P>(shape);
    kind_ = typeid(P);
    shape_ = shape;
  }
  // Needs set<P>() before.
  template <Peer P>
  static P& get() noexcept {
    return *static_cast<P*>(pool_.get());
  }
  static void clear() noexcept { pool_.reset(); }

 private:
  static inline std::shared_ptr<void> pool_;
  static inline std::type_index kind_ = typeid(void);
  static inline PoolShape shape_;
};

}  // namespace bench
