#include <tidegate/watch/stack.hpp>

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>

namespace tidegate {
namespace {

struct Free {
  void operator()(char* text) const noexcept { std::free(text); }
};

std::string readable(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, Free> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status));
  return status == 0 && name ? name.get() : symbol;
}

std::string offset(const void* address, const void* base) {
  const auto distance =
      reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(base);
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), distance, 16).ptr;
  return " +0x" + std::string(digits.data(), end);
}

// The address is a return address: the call is before it.
std::string place(const void* address) {
  const void* const call = static_cast<const char*>(address) - 1;
  Dl_info info{};
  if (::dladdr(call, &info) == 0) return "unknown" + offset(address, nullptr);
  if (info.dli_sname != nullptr) {
    return readable(info.dli_sname) + offset(call, info.dli_saddr);
  }
  return info.dli_fname + offset(call, info.dli_fbase);
}

}  // namespace

Stack Stack::current() noexcept {
  Stack stack;
  std::array<void*, kMostFrames + 1> frames{};  // current() itself is left out
  const int taken = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  if (taken > 1) {
    stack.size_ = static_cast<std::size_t>(taken) - 1;
    std::copy_n(std::next(frames.begin()), stack.size_, stack.frames_.begin());
  }
  return stack;
}

std::string Stack::to_string() const {
  std::string text;
  for (std::size_t i = 0; i < size_; ++i) {
    if (i > 0) text += '\n';
    text += "  #" + std::to_string(i) + ' ' + place(frames_[i]);
  }
  return text;
}

}  // namespace tidegate
