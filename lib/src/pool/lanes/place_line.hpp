// PlaceLine: places of a lane in a line, without allocations.
#pragma once

#include <cstdint>
#include <memory>

#include <tidegate/base/assert.hpp>

namespace tidegate::detail {

class PlaceLine {
 public:
  // Needs: never more than `most` are in the line. Throws: std::bad_alloc.
  explicit PlaceLine(std::uint32_t most)
      : most_(most), places_(std::make_unique<std::uint32_t[]>(most)) {}

  bool empty() const noexcept { return size_ == 0; }
  std::uint32_t size() const noexcept { return size_; }
  // Counted from the oldest.
  std::uint32_t operator[](std::uint32_t i) const noexcept { return places_[(first_ + i) % most_]; }
  std::uint32_t front() const noexcept { return (*this)[0]; }
  void push(std::uint32_t place) noexcept {
    TIDEGATE_ASSERT(I2, size_ < most_);
    places_[(first_ + size_++) % most_] = place;
  }
  std::uint32_t pop() noexcept {
    const std::uint32_t place = front();
    first_ = (first_ + 1) % most_;
    --size_;
    return place;
  }

 private:
  const std::uint32_t most_;
  const std::unique_ptr<std::uint32_t[]> places_;
  std::uint32_t first_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace tidegate::detail
