#!/usr/bin/env bash
# consumption_test.sh static|shared CHECKOUT BUILD WORK_DIRECTORY
#
# Builds the ten-line program, and the same awaited, outside the tree as strangers do, and runs them. With the shared library:
# with the checkout as a subdirectory of the program's own build, then with find_package(tidegate)
# against what that build installed. With the static one: against what BUILD installs, which is there
# anyway. The installed library meets a debug build, as is common.
set -euo pipefail
kind=$1 checkout=$2 installed=$3 work=$4

mkdir -p "$work/program"
rm -rf "$work/prefix" "$work/against-prefix"
cp "$checkout/tests/consumption/CMakeLists.txt" "$checkout/tests/consumption/"*.cpp \
   "$checkout/examples/01-ten-lines/main.cpp" "$work/program"

build() { # BUILD_DIRECTORY CMAKE_OPTION...
  cmake -G Ninja -S "$work/program" -B "$@"
  cmake --build "$1"
}

expect_linkage_and_answer() { # PROGRAM
  local linkage=static answer
  if readelf --dynamic "$1" | grep -q 'NEEDED.*libtidegate\.so'; then linkage=shared; fi
  if [ "$linkage" != "$kind" ]; then
    echo "$1 is linked with a $linkage library, not a $kind one" >&2
    exit 1
  fi
  answer=$("$checkout/scripts/with-postgres" "$1")
  if [ "$answer" != 42 ]; then
    echo "$1 said '$answer', not 42" >&2
    exit 1
  fi
}

# -O0: what is built matters here, not how fast it is.
if [ "$kind" = shared ]; then
  installed=$work/as-subdirectory
  build "$installed" -DTIDEGATE_CHECKOUT="$checkout" -DBUILD_SHARED_LIBS=ON \
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O0 -DNDEBUG"
  expect_linkage_and_answer "$installed/ten-lines"
  expect_linkage_and_answer "$installed/awaited"
fi

cmake --install "$installed" --prefix "$work/prefix"
build "$work/against-prefix" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Debug
expect_linkage_and_answer "$work/against-prefix/ten-lines"
expect_linkage_and_answer "$work/against-prefix/awaited"
if [ -x "$work/against-prefix/scraped" ]; then
  expect_linkage_and_answer "$work/against-prefix/scraped"
fi
