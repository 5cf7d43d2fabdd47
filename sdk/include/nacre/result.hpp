// Errors in a plugin: a status code for the host's program, a sentence for its user.
#pragma once

#include <nacre/abi/base.h>

#include <nacre/expected.hpp>
#include <string>
#include <string_view>

namespace nacre::sdk {

struct Error {
  nacre_status code = NACRE_INVALID;
  std::string message;
};

template <typename T>
using Result = Expected<T, Error>;
using Status = Result<void>;

// Makes an error whose message is all the pieces in a row: `return fail("disk '", id, "' is busy");`
template <typename... Pieces>
[[nodiscard]] Error fail(const Pieces&... pieces) {
  Error error;
  (error.message.append(std::string_view(pieces)), ...);
  return error;
}

}  // namespace nacre::sdk
