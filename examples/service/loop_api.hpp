// What OrderApi answers, from a coroutine: a connection is waited for, and a statement, without a
// thread that stands still.
#pragma once

#include "loop_server.hpp"
#include "order_api.hpp"

namespace service {

// All three outlive the server that is given them.
LoopCalls calls_of_loop(OrderApi& api, tidegate::Pool& pool, Tally& tally);

}  // namespace service
