// Server: the throw-away PostgreSQL server of this run (scripts/with-postgres), and what may be
// done to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>

namespace tidegate {
class Pool;
}

namespace tidegate::stress {

// A process that does not run as long as this lives.
class Frozen {
 public:
  explicit Frozen(int pid) : pid_(pid) { ::kill(pid_, SIGSTOP); }
  ~Frozen() { ::kill(pid_, SIGCONT); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  const int pid_;
};

// One for the process, for its main thread only: a server that it restarts ends with that thread.
class Server {
 public:
  static Server& instance();

  const std::string& folder() const noexcept { return folder_; }  // of the Unix socket
  const std::string& port() const noexcept { return port_; }

  // Statements on a session beside the pools; again when that was lost.
  void run(const std::string& sql);
  std::int64_t number(const std::string& sql);
  std::string text(const std::string& sql);

  // The server processes of the pool `name`.
  std::vector<int> backends(std::string_view name);
  // Ends one, or all of a pool's; returns how many were there. Waits until they are gone if `wait`.
  bool terminate(int pid);
  std::size_t terminate_all(std::string_view name, bool wait);

  int postmaster() const;
  enum class How { fast, immediate };
  // Returns when its processes have ended.
  void stop(How how);
  // Returns when it answers.
  void start();

 private:
  Server();
  ~Server();
  bool is_gone(int pid);

  const std::string folder_;
  const std::string port_;
  const std::string data_;
  const std::string programs_;
  int own_child_ = 0;  // the postmaster, when this process has started it
  const std::unique_ptr<Pool> side_;
};

}  // namespace tidegate::stress
