// libFuzzer's entry; TIDEGATE_FUZZ_TARGET names the function it feeds.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tidegate::fuzz::TIDEGATE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
