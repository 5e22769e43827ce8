#include "pg/server.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <tidegate/pool/pool.hpp>
#include <tidegate/pq/errors.hpp>

#include "support/pause.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// Again for as long as the session is lost under it, which is what happens here all the time.
template <class F>
auto insistently(F&& f) {
  for (const Deadline give_up(kPatience);;) {
    try {
      return f();
    } catch (const Error& error) {
      if (error.code() != Errc::connection_lost || give_up.passed()) throw;
    }
  }
}

}  // namespace

Server& Server::instance() {
  static Server server;
  return server;
}

Server::Server()
    : folder_(environment("PGHOST")),
      port_(environment("PGPORT")),
      data_(environment("TIDEGATE_PG_DATADIR")),
      programs_(environment("TIDEGATE_PG_BINDIR")),
      side_(std::make_unique<Pool>(PoolConfig{.name = "beside",
                                              .max_size = 1,
                                              .acquire_timeout = kPatience,
                                              .connect_backoff_max = 100ms,
                                              .ping_after = 1ms})) {
  run("select 1");
}

Server::~Server() = default;

void Server::run(const std::string& sql) {
  insistently([&] { side_->exec_script(sql); });
}
std::int64_t Server::number(const std::string& sql) {
  return insistently([&] { return side_->query_value<std::int64_t>(sql); });
}
std::string Server::text(const std::string& sql) {
  return insistently([&] { return side_->query_value<std::string>(sql); });
}

std::vector<int> Server::backends(std::string_view name) {
  return insistently([&] {
    std::vector<int> pids;
    for (const Row& row : side_->exec(
             "select pid from pg_stat_activity where application_name = 'tidegate/' || $1", name)) {
      pids.push_back(row.get<int>(0));
    }
    return pids;
  });
}

bool Server::terminate(int pid) {
  return insistently(
      [&] { return side_->query_value<bool>("select pg_terminate_backend($1)", pid); });
}

std::size_t Server::terminate_all(std::string_view name, bool wait) {
  const std::vector<int> pids = backends(name);
  for (const int pid : pids) terminate(pid);
  if (wait) {
    const bool gone = comes_true(kPatience, [&] { return backends(name).empty(); });
    require(gone, "the server", "processes that were terminated do not end");
  }
  return pids.size();
}

int Server::postmaster() const {
  int pid = 0;
  std::ifstream(data_ + "/postmaster.pid") >> pid;
  return pid;
}

bool Server::is_gone(int pid) {
  // Whoever started it reaps it: this process, or scripts/with-postgres.
  if (pid == own_child_) return ::waitpid(pid, nullptr, WNOHANG) != 0;
  return ::kill(pid, 0) != 0;
}

void Server::stop(How how) {
  const int pid = postmaster();
  require(pid > 0, "the server", "there is none to stop");
  ::kill(pid, how == How::fast ? SIGINT : SIGQUIT);
  require(comes_true(kPatience, [&] { return is_gone(pid); }), "the server", "it does not stop");
  own_child_ = 0;
  side_->reset();  // a pool without connections sleeps, and is not seen where processor time is
                   // counted
}

void Server::start() {
  // Not by pg_ctl: what this process starts must end with it, whatever ends it.
  std::vector<std::string> words{"setpriv", "--pdeathsig", "QUIT"};
  if (::geteuid() == 0) {
    words.insert(words.end(), {"--reuid=postgres", "--regid=postgres", "--init-groups"});
  }
  words.insert(words.end(), {programs_ + "/postgres", "-D", data_, "-p", port_});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const std::string log = environment("TIDEGATE_PG_LOG");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_APPEND, 0);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // a Ctrl-C is not for the server
  const int error =
      ::posix_spawnp(&own_child_, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  require(error == 0, "the server", "it cannot be started: error ", error);
  run("select 1");
}

}  // namespace tidegate::stress
