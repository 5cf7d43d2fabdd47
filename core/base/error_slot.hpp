// The host's side of a call across the plugin border that may fail: room for the plugin's words.
#pragma once

#include <nacre/abi/error.h>

#include <cstring>
#include <string>

// What plugins hold a pointer to; its content is the host's.
struct nacre_error {
  char text[NACRE_ERROR_MAX] = {};
};

namespace nacre {

class ErrorSlot {
 public:
  nacre_error* handle() { return &slot_; }
  // The plugin's words, or `otherwise` when it gave none.
  std::string text(const char* otherwise) const { return slot_.text[0] ? slot_.text : otherwise; }

  // Puts words into a slot, cut to its size; a NULL slot takes none.
  static void set(nacre_error* slot, const char* text) {
    if (!slot) return;
    size_t length = strnlen(text ? text : "", NACRE_ERROR_MAX - 1);
    std::memcpy(slot->text, text, length);
    slot->text[length] = 0;
  }

 private:
  nacre_error slot_;
};

}  // namespace nacre
