// Attachment: something that an event loop keeps with a connection.
#pragma once

namespace tidegate {

// It must go before the connection's socket does: the loop's registration of that socket. It ends
// with the connection, on whatever thread ends that, and when native_handle() is called, because
// PQreset() gives the connection another socket. It is not destroyed in a child after fork(), which
// shares the loop's descriptors.
class Attachment {
 public:
  Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment() = default;
  // Whose it is: an address that its kind alone has.
  virtual const void* kind() const noexcept = 0;
};

}  // namespace tidegate
