// tidegate's generic pool over a stub.
#include "peers/peer_program.hpp"
#include "support/core_peer.hpp"

int main(int argc, char** argv) { return bench::run_peer<bench::CorePeer>(argc, argv); }
