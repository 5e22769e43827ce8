// ParamArrays: the parameters of a statement as libpq takes them, in one block of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <tidegate/base/export.hpp>

namespace tidegate::pq {

// libpq takes four arrays; a fifth says where each copied value lies. Every connection keeps them
// from call to call, so they share one block: five vectors would be five heap blocks with headers.
class TIDEGATE_API ParamArrays {
 public:
  struct One {
    const char* value;
    std::size_t entry;
    std::uint32_t type;
    int length;
    int format;
  };

  ParamArrays() noexcept = default;
  ParamArrays(const ParamArrays& other);
  ParamArrays(ParamArrays&& other) noexcept
      : block_(std::move(other.block_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  ParamArrays& operator=(ParamArrays other) noexcept {
    std::swap(block_, other.block_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~ParamArrays() = default;

  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }
  // Throws: std::bad_alloc; nothing has changed then.
  void add(const One& one) {
    if (size_ == capacity_) grow();
    values()[size_] = one.value;
    entries()[size_] = one.entry;
    types()[size_] = one.type;
    lengths()[size_] = one.length;
    formats()[size_] = one.format;
    ++size_;
  }
  // Needs: `size` is not larger than the present size.
  void shorten(std::size_t size) noexcept { size_ = static_cast<std::uint32_t>(size); }

  // The widest array comes first, so that each is aligned. Valid until the next add().
  const char** values() const noexcept { return array<const char*>(0); }
  std::size_t* entries() const noexcept { return array<std::size_t>(sizeof(const char*)); }
  std::uint32_t* types() const noexcept { return array<std::uint32_t>(kWide); }
  int* lengths() const noexcept { return array<int>(kWide + sizeof(std::uint32_t)); }
  int* formats() const noexcept { return array<int>(kWide + sizeof(std::uint32_t) + sizeof(int)); }

 private:
  static constexpr std::size_t kWide = sizeof(const char*) + sizeof(std::size_t);
  static constexpr std::size_t kEach = kWide + sizeof(std::uint32_t) + 2 * sizeof(int);

  // `before`: bytes of each parameter in the arrays in front of this one.
  template <class T>
  T* array(std::size_t before) const noexcept {
    return reinterpret_cast<T*>(block_.get() + before * capacity_);
  }
  void grow();
  void copy_from(const ParamArrays& other) noexcept;

  std::unique_ptr<std::byte[]> block_{};
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

}  // namespace tidegate::pq
