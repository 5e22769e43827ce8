#include <tidegate/base/file_descriptor.hpp>

#include <unistd.h>

namespace tidegate::detail {

void FileDescriptor::reset() noexcept {
  if (fd_ >= 0) ::close(release());
}

}  // namespace tidegate::detail
