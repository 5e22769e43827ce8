// A process that has no descriptor left: connects fail, and nothing else does.
#include <fcntl.h>
#include <sys/resource.h>

#include <optional>
#include <utility>
#include <vector>

#include <tidegate/pq/file_descriptor.hpp>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "scenario.hpp"
#include "support/pause.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// As long as this lives, none of this process's descriptors is free.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 256;  // what is open already, and some to be taken here
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (;;) {
      pq::FileDescriptor taken(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (taken.get() < 0) break;
      taken_.push_back(std::move(taken));
    }
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<pq::FileDescriptor> taken_{};
};

// Without a session acquires end at their deadlines, most as "unavailable", and are served when
// there are descriptors again; what is open serves all, and close() needs none. Seen failing: with
// EMFILE taken for a rejection (I9).
void no_descriptors(Run& run) {
  while (run.next_pass()) {
    MainActor self(run);
    {
      PgPool pool(PgPool::quick("no-descriptors", run.pool()),
                  {.acquire = {Errc::unavailable, Errc::timeout}});
      std::optional<NoDescriptors> none(std::in_place);  // before anybody has connected
      under_load(run, pool, {.patience = 100ms}, [&] {
        require(comes_true(8s, [&] { return pool.acquires_failed(Errc::unavailable) > 10; }), "I9",
                "nobody is told");
        require(pool.acquired() == 0, "the scenario", "there were descriptors");
        none.reset();
        const std::uint64_t answered = pool.answered();
        require(comes_true(8s, [&] { return pool.answered() > answered + 10; }), "I3",
                "there are descriptors, and nobody is served");
      });
      pool.audit_at_rest(self);
      pool.audit_and_close(self);
    }
    PgPool pool(PgPool::quick("no-descriptors", run.pool()), {});
    pool.fill(self, (run.pool() + 1) / 2);
    {
      const NoDescriptors none;
      under_load(run, pool, {}, [&] {
        const std::uint64_t answered = pool.answered();
        require(comes_true(8s, [&] { return pool.answered() > answered + 50; }), "I3",
                "no connect succeeds, and those who could be served are not");
      });
      const CloseReport report = pool.close(self);
      require(report.outcome == CloseReport::Outcome::drained, "I7", to_string(report));
    }
    pool.audit_and_close(self);
  }
}

const Registered registered({"server.no-descriptors", "connects fail with EMFILE", no_descriptors,
                             Driver::pg, Breaks::nothing});

}  // namespace
}  // namespace tidegate::stress
