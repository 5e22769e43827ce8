#include <tidegate/pq/file_descriptor.hpp>

#include <unistd.h>

namespace tidegate::pq {

void FileDescriptor::reset() noexcept {
  if (fd_ >= 0) ::close(release());
}

}  // namespace tidegate::pq
