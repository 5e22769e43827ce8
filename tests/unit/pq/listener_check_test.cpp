// libpq 17 says of a wrong user behind a Unix socket what it says of a socket that nobody is
// behind, and a waiter waited for its deadline for what only a person can mend.
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <support/temporary_folder.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "pq/connect/listener_check.hpp"
#include "pq/unix_address.hpp"

namespace tidegate::pq_test {
namespace {

using pq::FileDescriptor;

class ListenerCheck : public testing::Test {
 protected:
  void listen() {
    const std::string address = pq::unix_address(folder_.path(), kPort);
    sockaddr_storage name{};
    std::memcpy(&name, address.data(), address.size());
    listener_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&name),
                     static_cast<socklen_t>(address.size())),
              0);
    ASSERT_EQ(::listen(listener_.get(), 4), 0);
  }

  bool wrong_user_listens(const std::string& required) const {
    return pq::wrong_user_listens({{"requirepeer", required}}, folder_.path(), kPort);
  }

  static constexpr const char* kPort = "5432";
  test::TemporaryFolder folder_{};
  FileDescriptor listener_{};
};

TEST_F(ListenerCheck, NobodyListensIsNoWrongUser) {
  EXPECT_FALSE(wrong_user_listens("postgres-x"));
}

TEST_F(ListenerCheck, AnotherThanIsAskedForIsOne) {
  listen();
  EXPECT_TRUE(wrong_user_listens("nobody-we-know"));
}

TEST_F(ListenerCheck, WhoIsAskedForIsNone) {
  listen();
  const passwd* self = ::getpwuid(::geteuid());
  ASSERT_NE(self, nullptr);
  EXPECT_FALSE(wrong_user_listens(self->pw_name));
}

TEST_F(ListenerCheck, NobodyInParticularIsAskedForByDefault) {
  listen();
  EXPECT_FALSE(wrong_user_listens(""));
}

}  // namespace
}  // namespace tidegate::pq_test
