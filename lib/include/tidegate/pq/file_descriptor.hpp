// pq's descriptors are the library's (base/file_descriptor.hpp).
#pragma once

#include <tidegate/base/file_descriptor.hpp>

namespace tidegate::pq {

using tidegate::detail::FileDescriptor;

}  // namespace tidegate::pq
