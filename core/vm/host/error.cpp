#include "core/base/error_slot.hpp"
#include "core/vm/host/services.hpp"

namespace nacre::services {
namespace {

void set(nacre_error* slot, const char* text) noexcept {
  ErrorSlot::set(slot, text);
}
const char* text(const nacre_error* slot) noexcept {
  return slot ? slot->text : "";
}

}  // namespace

const nacre_error_v1 kError{sizeof(nacre_error_v1), 0, set, text};

}  // namespace nacre::services
