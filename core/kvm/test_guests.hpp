// Small guests in assembler. GUEST(name, bits, code) gives `std::string_view name()`; the code must not depend on where
// it is loaded.
#pragma once

#include <string_view>

#define GUEST(name, bits, code)                                                           \
  asm(".pushsection .rodata\n" #name "_begin:\n.code" #bits "\n" code "\n.code64\n" #name \
      "_end:\n.byte 0\n.popsection\n");                                                   \
  extern "C" const char name##_begin[], name##_end[];                                     \
  inline std::string_view name() {                                                        \
    return {name##_begin, static_cast<size_t>(name##_end - name##_begin)};                \
  }
