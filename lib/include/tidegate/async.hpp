// The seam for event loops other than Asio's: one include. tidegate/asio.hpp brings it along.
#pragma once

#include <tidegate/pool/async.hpp>
