#!/usr/bin/env bash
# consumption_test.sh static|shared|subdirectory CHECKOUT WORK_DIRECTORY
#
# Builds the ten-line program as a stranger would, outside the tree: against an installed static or
# shared tidegate, or with the checkout as a subdirectory of the program's own build. Then runs it.
# The library is a release build and the program a debug build, as is common.
set -euo pipefail
kind=$1 checkout=$2 work=$3

mkdir -p "$work"
rm -rf "$work/prefix" "$work/program"
mkdir "$work/program"
cp "$checkout/tests/consumption/CMakeLists.txt" "$checkout/examples/01-ten-lines/main.cpp" \
   "$work/program"

program_options=(-DCMAKE_BUILD_TYPE=Debug)
if [ "$kind" = subdirectory ]; then
  program_options+=(-DTIDEGATE_CHECKOUT="$checkout")
else
  shared=OFF
  if [ "$kind" = shared ]; then shared=ON; fi
  # -O0: what is built matters here, not how fast it is.
  cmake -G Ninja -S "$checkout" -B "$work/library" -DBUILD_SHARED_LIBS="$shared" \
      -DTIDEGATE_BUILD_TESTS=OFF -DTIDEGATE_BUILD_EXAMPLES=OFF \
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O0 -DNDEBUG"
  cmake --build "$work/library"
  cmake --install "$work/library" --prefix "$work/prefix"
  program_options+=(-DCMAKE_PREFIX_PATH="$work/prefix")
fi

cmake -G Ninja -S "$work/program" -B "$work/program/build" "${program_options[@]}"
cmake --build "$work/program/build" --target ten-lines

needed=$(readelf --dynamic "$work/program/build/ten-lines")
if [ "$kind" = shared ] && ! grep -q 'NEEDED.*libtidegate\.so' <<<"$needed"; then
  echo "the program is not linked with the shared library" >&2
  exit 1
fi
if [ "$kind" != shared ] && grep -q 'libtidegate' <<<"$needed"; then
  echo "the program needs a shared library" >&2
  exit 1
fi

answer=$("$checkout/scripts/with-postgres" "$work/program/build/ten-lines")
if [ "$answer" != 42 ]; then
  echo "the program said '$answer', not 42" >&2
  exit 1
fi
