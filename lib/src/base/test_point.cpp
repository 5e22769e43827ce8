#include <tidegate/base/test_point.hpp>

namespace tidegate::detail {

std::atomic<TestPointHook> test_point_hook{nullptr};

}  // namespace tidegate::detail
