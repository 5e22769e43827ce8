// tidegate::Pool with two lanes: statements that need nothing of a session share connections.
#include "peers/peer_program.hpp"
#include "support/pool_peer.hpp"

namespace {

class LanesPeer {
 public:
  static constexpr const char* kName = "lanes";
  static std::optional<std::string> missing() { return bench::PoolPeer::missing(); }

  static constexpr bool kTakesConninfo = true;

  explicit LanesPeer(bench::PoolShape shape) : pool_(with_lanes(std::move(shape))) {}

  int select(int value) { return pool_.select(value); }

 private:
  static bench::PoolShape with_lanes(bench::PoolShape shape) {
    shape.conninfo = "pool_lanes=2 " + shape.conninfo;
    return shape;
  }

  bench::PoolPeer pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<LanesPeer>(argc, argv); }
