#include <tidegate/pq/param_arrays.hpp>

#include <algorithm>
#include <limits>
#include <new>

namespace tidegate::pq {

ParamArrays::ParamArrays(const ParamArrays& other)
    : block_(other.size_ == 0 ? nullptr : new std::byte[kEach * other.size_]),
      capacity_(other.size_) {
  copy_from(other);
}

// Grows as a vector does: most statements have few parameters, and their memory is kept.
void ParamArrays::grow() {
  if (capacity_ > std::numeric_limits<std::uint32_t>::max() / 2) throw std::bad_alloc();
  ParamArrays larger;
  larger.capacity_ = std::max(1U, 2 * capacity_);
  larger.block_.reset(new std::byte[kEach * larger.capacity_]);
  larger.copy_from(*this);
  *this = std::move(larger);
}

// Needs: room for all of `other`.
void ParamArrays::copy_from(const ParamArrays& other) noexcept {
  size_ = other.size_;
  std::copy_n(other.values(), size_, values());
  std::copy_n(other.entries(), size_, entries());
  std::copy_n(other.types(), size_, types());
  std::copy_n(other.lengths(), size_, lengths());
  std::copy_n(other.formats(), size_, formats());
}

}  // namespace tidegate::pq
