// tidegate::Pool with its default configuration.
#include "peers/peer_program.hpp"
#include "support/pool_peer.hpp"

int main(int argc, char** argv) { return bench::run_peer<bench::PoolPeer>(argc, argv); }
