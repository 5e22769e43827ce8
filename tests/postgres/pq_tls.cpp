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
  explicit TlsServer(int size) {
    const auto repository =
        std::filesystem::path(TIDEGATE_WITH_POSTGRES).parent_path().parent_path();
    const std::string command =
        (repository / "tests/support/tls_server.py").string() + " " + std::to_string(size);
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

// libpq fetches 8 KiB at a time, and what is left of a larger TLS record shows in no poll(2). The
// sizes are such that the last part of the answer is left behind; it is known to hang other users
// of libpq's asynchronous calls.
TEST(PqTls, AnAnswerInTlsRecordsLargerThanLibpqsReadsArrives) {
  for (const int size : {10'000, 24'500, 40'900, 81'840, 300'000}) {
    TlsServer server(size);
    Connection connection = std::move(connected({{"host", "127.0.0.1"},
                                                 {"port", server.port()},
                                                 {"user", "somebody"},
                                                 {"sslmode", "require"},
                                                 {"sslrootcert", "/no/such/file"}})
                                          .connection);
    EXPECT_EQ(connection.query_value<std::string>("select a value").size(),
              static_cast<std::size_t>(size));
  }
}

}  // namespace tidegate::pq_test
