# Toolchain file: clang++-19 if installed, else whatever clang++ is. A preset cannot choose.
find_program(TIDEGATE_CLANG NAMES clang++-19 clang++ REQUIRED)
set(CMAKE_CXX_COMPILER ${TIDEGATE_CLANG})
