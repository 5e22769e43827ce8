// Convert<T>: how a C++ type becomes a parameter, and how a value of a result becomes one.
#pragma once

#include <tidegate/pq/convert_basic.hpp>
#include <tidegate/pq/convert_compound.hpp>
#include <tidegate/pq/convert_time.hpp>
#include <tidegate/pq/convert_trait.hpp>
