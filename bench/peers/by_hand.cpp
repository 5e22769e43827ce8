// What people write: libpq by hand in the pool by hand.
#include "peers/peer_program.hpp"
#include "support/by_hand_peer.hpp"

int main(int argc, char** argv) { return bench::run_peer<bench::ByHandPeer>(argc, argv); }
