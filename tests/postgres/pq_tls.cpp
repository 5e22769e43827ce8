#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "postgres/pq_support.hpp"

namespace tidegate::pq_test {

// tests/support/tls_server.py, its output.
class TlsServer {
 public:
  explicit TlsServer(const std::string& held_back) {
    const auto repository =
        std::filesystem::path(TIDEGATE_WITH_POSTGRES).parent_path().parent_path();
    const std::string command =
        (repository / "tests/support/tls_server.py").string() + " " + held_back;
    output_.reset(::popen(command.c_str(), "re"));
    if (!output_ || std::fscanf(output_.get(), "%15s", port_) != 1) {
      throw std::runtime_error("no TLS server");
    }
  }
  std::string port() const { return port_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { ::pclose(file); }
  };
  std::unique_ptr<std::FILE, Close> output_{};
  char port_[16] = {};
};

// What is left of a TLS record when libpq's buffer is full shows in no poll(2). Known to hang other
// users of libpq's asynchronous calls.
TEST(PqTls, AnAnswerOfWhichTheTlsLibraryHoldsTheEndBackArrives) {
  for (const char* held_back : {"all", "end"}) {
    TlsServer server(held_back);
    Connection connection = std::move(connected({{"host", "127.0.0.1"},
                                                 {"port", server.port()},
                                                 {"user", "somebody"},
                                                 {"sslmode", "require"},
                                                 {"sslrootcert", "/no/such/file"}})
                                          .connection);
    EXPECT_EQ(connection.query_value<std::string>({.prepared = false}, "select a value").size(),
              15'000u);
  }
}

}  // namespace tidegate::pq_test
