# Toolchain file: the clang++ that scripts/newest-clang names. A preset cannot choose.
execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../newest-clang
                OUTPUT_VARIABLE TIDEGATE_CLANG OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT TIDEGATE_CLANG)
  message(FATAL_ERROR "no clang++ is installed; scripts/setup installs one")
endif()
set(CMAKE_CXX_COMPILER ${TIDEGATE_CLANG})
