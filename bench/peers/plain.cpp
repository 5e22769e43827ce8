// The plain form of tidegate's idea, over a stub: how much comes from the idea itself?
#include "peers/peer_program.hpp"
#include "support/plain_peer.hpp"

int main(int argc, char** argv) { return bench::run_peer<bench::PlainPeer>(argc, argv); }
