// net: the Asio that this is built over. Boost.Asio (1.74 and later); with TIDEGATE_STANDALONE_ASIO
// defined, in every file of the program that includes this, standalone Asio (1.22 and later).
#pragma once

#include <utility>  // awaitable.hpp of Boost 1.74 uses it, and does not include it

#if defined(TIDEGATE_STANDALONE_ASIO)

#include <asio/any_io_executor.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_executor.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/system_executor.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>
#if !defined(ASIO_HAS_CO_AWAIT)
#error \
    "this Asio does not see that the compiler has coroutines: with clang++ and Asio 1.22 define ASIO_HAS_CO_AWAIT and ASIO_HAS_STD_COROUTINE"
#endif
#if ASIO_VERSION >= 101900
#include <asio/associated_cancellation_slot.hpp>
#define TIDEGATE_ASIO_CANCELS 1
#endif

namespace tidegate::asio {
namespace net = ::asio;
using error_code = ::asio::error_code;
}  // namespace tidegate::asio

#else

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/version.hpp>
#if !defined(BOOST_ASIO_HAS_CO_AWAIT)
#error \
    "this Boost.Asio does not see that the compiler has coroutines: with clang++ and Boost 1.74 define BOOST_ASIO_HAS_CO_AWAIT and BOOST_ASIO_HAS_STD_COROUTINE"
#endif
#if BOOST_ASIO_VERSION >= 101900
#include <boost/asio/associated_cancellation_slot.hpp>
#define TIDEGATE_ASIO_CANCELS 1
#endif

namespace tidegate::asio {
namespace net = ::boost::asio;
using error_code = ::boost::system::error_code;
}  // namespace tidegate::asio

#endif
