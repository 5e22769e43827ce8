// Params: the parameters of one statement on their way to libpq.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pq/param_arrays.hpp>

namespace tidegate {

// Written by Convert<T>::encode, which adds exactly one value. A value goes as text whose type the
// server infers; bytes go as binary bytea. Where the statement has been described, a value whose
// C++ type is exactly that of the parameter goes in binary form; elements of arrays always go as
// text. The storage is reused from call to call.
// Throws: UsageError naming the parameter ($1, ...) when a text holds a NUL or a value is larger
//         than PostgreSQL takes (1 GiB); nothing has been sent then.
class TIDEGATE_API Params {
 public:
  void null();
  // Copies `value`.
  void text(std::string_view value);
  // Does not copy: text[size] must be NUL, and the text must live until the statement was sent.
  void text_in_place(const char* text, std::size_t size);
  // Does not copy: the bytes must live until the statement was sent.
  void bytes(std::span<const std::byte> value);
  void boolean(bool value);
  // `size` of the C++ type: 2, 4 or 8 bytes.
  void integer(long long value, std::size_t size = sizeof(long long));
  void integer(unsigned long long value);
  void floating(float value);
  void floating(double value);
  // Adds `value`, the server's binary form of a `type` (an OID), if the parameter is known to be of
  // exactly that type. False: nothing was added, and the caller adds text.
  bool binary(std::uint32_t type, std::span<const std::byte> value);

  // Values added between these two calls are the elements of one array.
  void begin_array();
  void end_array();

  // The value cannot be sent: throws UsageError naming the parameter and `why`.
  [[noreturn]] void refuse(std::string_view why) const;

  // Adds one argument by its Convert<T>. Throws UsageError unless that wrote exactly one value.
  template <class T>
  void bind(const T& value);

  // For the connection. clear() starts the parameters of a call at `where` and gives back an
  // unusually large block; expect() says what types the server expects, valid until the end; seal()
  // ends the parameters, and only then are the arrays valid.
  void clear(Location where) noexcept;
  void expect(std::span<const std::uint32_t> types) noexcept { expected_ = types; }
  void seal() noexcept;
  std::size_t count() const noexcept { return arrays_.size(); }
  // How many bytes the values take, from the `first` on.
  std::size_t size(std::size_t first) const noexcept { return size(first, count()); }
  std::size_t size(std::size_t first, std::size_t end) const noexcept {
    std::size_t bytes = 0;
    for (std::size_t i = first; i < end; ++i) bytes += static_cast<std::size_t>(lengths()[i]);
    return bytes;
  }

  // For a batch: starts the parameters of one more statement behind the first `keep` values, and
  // drops what a refused statement left behind them. From here on every value is copied.
  void begin_another(std::size_t keep, Location where) noexcept;
  // For COPY: starts the values of that line, counted from 1.
  void begin_line(std::uint64_t line, Location where) noexcept;
  // What libpq gets for a value, also before seal(); null for NULL. Valid until more is added.
  const char* value(std::size_t i) const noexcept {
    const std::size_t entry = arrays_.entries()[i];
    return entry == kElsewhere ? arrays_.values()[i] : text_.data() + entry;
  }
  const std::uint32_t* types() const noexcept { return arrays_.types(); }
  const char* const* values() const noexcept { return arrays_.values(); }
  const int* lengths() const noexcept { return arrays_.lengths(); }
  const int* formats() const noexcept { return arrays_.formats(); }

 private:
  static constexpr std::size_t kElsewhere = static_cast<std::size_t>(-1);
  enum class Format : int { text = 0, binary = 1 };  // libpq's numbers

  void add(const char* data, std::size_t offset, std::size_t size, std::uint32_t type, Format);
  void add_element(std::string_view value);
  void check_text(std::string_view value) const;
  void check_bound(std::size_t before) const;
  std::string name_of(std::size_t value) const;

  // A value's entry says where in text_ it starts; kElsewhere: the value has a pointer instead.
  pq::ParamArrays arrays_{};
  std::string text_{};  // the copied values, each with its NUL

  std::uint32_t first_ = 0;  // the first value of the statement under way
  bool copy_all_ = false;    // the arguments may be gone when the statement is sent
  bool in_array_ = false;
  bool first_element_ = false;
  std::size_t array_start_ = 0;
  std::uint64_t line_ = 0;  // of a COPY; 0 = parameters of a statement
  Location where_{};
  std::span<const std::uint32_t> expected_{};
};

}  // namespace tidegate
